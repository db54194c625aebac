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

// What plan.json and job.json of a run directory say.
struct JobDescription {
  std::string run_directory;
  convert::Plan plan;
  v1::JobSpec spec;  // defaults filled in
};
absl::StatusOr<JobDescription> ReadJobFiles(const std::string& run_directory);

// What the ranks of one process share. Thread-safe, but for the loaders, of which each rank takes a copy.
struct JobInputs {
  JobDescription description;
  planner::Program program;
  std::shared_ptr<const WeightSource> weights;
  std::string base_checksum;  // BaseChecksum of weights; empty where no adapter is trained
  std::shared_ptr<const Tokenizer> tokenizer;
  JobData data;
  std::string chat_template;  // the text of the one that the job names; empty: it names none
};
// Builds and opens what it names. FAILED_PRECONDITION: the program built from the plan's inputs has another digest (the plan was made by another
// version), or the model is not the plan's. Otherwise the errors of the files.
absl::StatusOr<JobInputs> OpenJobInputs(JobDescription description);

// Everything that a rank needs before its first step.
struct JobSetup {
  convert::Plan plan;
  v1::JobSpec spec;
  OpenDevice device;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<Session> session;
  JobData data;
  std::string base_checksum;  // of the base model
  std::string chat_template;  // as in JobInputs
};
// `comm` as in OpContext. `thread_count`: of this rank; 0: one per processor. `local_rank`: among those of its node. Errors of DeviceOfRank besides.
absl::StatusOr<JobSetup> SetUpRank(const JobInputs& inputs, Communicator* comm,
                                   int64_t thread_count, int64_t local_rank);

// The base model of a job.
absl::StatusOr<std::unique_ptr<WeightSource>> OpenWeights(const v1::JobSpec& spec,
                                                          const planner::ModelSpec& model);

// Optimizer steps that the job takes: training.step_count, or as many as its epochs take.
int64_t StepCountOf(const v1::Training& training, const Loader& loader, int64_t rows_per_step);

}  // namespace tunesmith::trainer
