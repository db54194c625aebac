#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "trainer/data/loader.h"
#include "trainer/job/job_data.h"
#include "trainer/job/session.h"
#include "trainer/open_device.h"

namespace tunesmith::trainer {

struct EvaluateOptions {
  std::string model_path;    // Hugging Face directory or .gguf file
  std::string adapter_path;  // PEFT directory; empty: the model alone
  std::string dataset_path;
  int64_t context = 0;
  std::string device = "cpu";
  int64_t thread_count = 0;
  DataOptions data;
};

// A model with its adapter, if there is one, and the data set that it is to be evaluated on.
struct Evaluation {
  OpenDevice device;
  std::unique_ptr<Session> session;
  Loader data;            // in the order of the file
  int64_t row_count = 0;  // of a batch
};

// Errors as SetUpJob; FAILED_PRECONDITION for an adapter whose modules are not the model's.
absl::StatusOr<Evaluation> SetUpEvaluation(const EvaluateOptions& options);

// Mean loss over the whole data set. Errors as SetUpEvaluation.
absl::StatusOr<EvaluationResult> EvaluateModel(const EvaluateOptions& options);

}  // namespace tunesmith::trainer
