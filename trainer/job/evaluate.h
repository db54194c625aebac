#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "trainer/data/loader.h"
#include "trainer/job/job_data.h"
#include "trainer/job/session.h"
#include "trainer/model_io/adapter.h"
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
  // The form of the base model; none: what the adapter was trained on, the weights as they are where it does not say or there is none.
  std::optional<BaseForm> base_form;
  bool any_base =
      false;  // take the adapter also where it was trained on other weights of these sizes
};

// A model with its adapter, if there is one, and the data set that it is to be evaluated on.
struct Evaluation {
  OpenDevice device;
  std::unique_ptr<Session> session;
  Loader data;            // in the order of the file
  int64_t row_count = 0;  // of a batch
  BaseForm base_form = BaseForm::kWide;
};

// Errors as SetUpJob; FAILED_PRECONDITION for an adapter whose modules are not the model's.
absl::StatusOr<Evaluation> SetUpEvaluation(const EvaluateOptions& options);

// Mean loss over the whole data set of SetUpEvaluation.
absl::StatusOr<EvaluationResult> Evaluate(Evaluation& evaluation);

// Both. Errors as SetUpEvaluation.
absl::StatusOr<EvaluationResult> EvaluateModel(const EvaluateOptions& options);

}  // namespace tunesmith::trainer
