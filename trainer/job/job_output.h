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

// Makes an output directory and clears what an attempt that was killed left half written in it. An error where nothing can be written into it, or where it is
// the model's own: asked before the first step, so that no training ends there.
absl::Status PrepareOutput(const std::string& output, const std::string& model_path);

// Adds to what SaveResult has written into `output`. `chat_template` is the text of the one that the job names; empty: it names none. The first rank alone calls
// this.
absl::Status CompleteOutput(const ModelCard& card, const std::string& chat_template,
                            const std::string& output);

}  // namespace tunesmith::trainer
