#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/convert/plan.h"
#include "trainer/job/job_data.h"
#include "trainer/job/session.h"
#include "trainer/model_io/tokenizer.h"
#include "trainer/model_io/weight_source.h"
#include "trainer/open_device.h"
#include "tunesmith/v1/job_spec.pb.h"

namespace tunesmith::trainer {

// Everything that a job needs before its first step.
struct JobSetup {
  convert::Plan plan;
  v1::JobSpec spec;  // defaults filled in
  OpenDevice device;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<Session> session;
  JobData data;
};

// Reads plan.json and job.json of a run directory and opens what they name. FAILED_PRECONDITION: the program built from the plan's inputs has
// another digest (the plan was made by another version), or the model is not the plan's. Otherwise the errors of the files.
absl::StatusOr<JobSetup> SetUpJob(const std::string& run_directory);

// The base model of a job.
absl::StatusOr<std::unique_ptr<WeightSource>> OpenWeights(const v1::JobSpec& spec,
                                                          const planner::ModelSpec& model);

// Optimizer steps that the job takes: training.step_count, or as many as its epochs take.
int64_t StepCountOf(const v1::Training& training, const Loader& loader, int64_t rows_per_step);

}  // namespace tunesmith::trainer
