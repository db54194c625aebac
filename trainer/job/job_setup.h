#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/convert/plan.h"
#include "trainer/data/loader.h"
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
  Tokenizer tokenizer;
  std::unique_ptr<Session> session;
  Loader training;
  std::vector<Loader> evaluation;  // one, or none where nothing is held out
  int64_t skipped_row_count = 0;
};

// Reads plan.json and job.json of a run directory and opens what they name. FAILED_PRECONDITION: the program built from the plan's inputs has
// another digest (the plan was made by another version), or the model is not the plan's. Otherwise the errors of the files.
absl::StatusOr<JobSetup> SetUpJob(const std::string& run_directory);

// Documents of a JSONL file, ready to be packed. Without `shuffles`, for evaluation: in the order of the file, and every token that can be
// predicted is, whatever the workload's loss_token_capacity.
absl::StatusOr<Loader> OpenData(const std::string& path, const Tokenizer& tokenizer,
                                const planner::Workload& workload, bool shuffles, uint64_t seed,
                                bool skips_bad_rows, int64_t* skipped_row_count);

// Optimizer steps that the job takes: training.step_count, or as many as its epochs take.
int64_t StepCountOf(const v1::Training& training, const Loader& loader, int64_t rows_per_step);

}  // namespace tunesmith::trainer
