#pragma once

#include <string>

#include "absl/status/status.h"
#include "trainer/job/model_card.h"
#include "tunesmith/v1/job_spec.pb.h"

// What a job that succeeds leaves behind: beside what SaveResult writes, the merged model that was asked for, the chat template and the model card.
namespace tunesmith::trainer {

// The directory that a job's spec names, else one of its run's.
std::string OutputDirectory(const v1::JobSpec& spec, const std::string& run_directory);

// Where the merged model of an output directory is.
std::string MergedDirectory(const std::string& output);

// Makes an output directory. An error where nothing can be written into it: asked before the first step, so that no training ends there.
absl::Status PrepareOutput(const std::string& output);

// Adds to what SaveResult has written into `output`. The first rank alone calls this.
absl::Status CompleteOutput(const ModelCard& card, const std::string& output);

}  // namespace tunesmith::trainer
