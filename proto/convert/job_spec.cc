#include "proto/convert/job_spec.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/model/learning_rate.h"
#include "proto/convert/json.h"

namespace tunesmith::convert {
namespace {

// More than a process may have (PID_MAX_LIMIT of Linux).
constexpr int64_t kMostThreads = int64_t{1} << 22;

void CheckBeta(std::string_view field, double beta, Violations& violations) {
  if (!(beta >= 0 && beta < 1))
    violations.Add(field, StrCat("is ", beta, ", must be 0 or above and below 1"));
}

bool IsDevice(std::string_view device) {
  if (device.empty() || device == "cpu") return true;
  if (!device.starts_with("cuda:")) return false;
  const std::string_view index = device.substr(5);
  // One GPU has one name.
  const bool has_leading_zero = index.size() > 1 && index[0] == '0';
  return !index.empty() && index.size() <= 4 && !has_leading_zero &&
         std::all_of(index.begin(), index.end(), absl::ascii_isdigit);
}

void ValidateTraining(const v1::Training& training, std::string_view field,
                      Violations& violations) {
  const auto path = [&](std::string_view name) { return FieldPath(field, name); };
  if (training.has_learning_rate())
    violations.Positive(path("learning_rate"), training.learning_rate());
  if (!v1::Schedule_IsValid(training.schedule()))
    violations.Add(path("schedule"), "is not a known schedule");
  violations.AtLeast(path("warmup_step_count"), training.warmup_step_count(), 0);
  violations.NonNegative(path("weight_decay"), training.weight_decay());
  if (training.has_beta1()) CheckBeta(path("beta1"), training.beta1(), violations);
  if (training.has_beta2()) CheckBeta(path("beta2"), training.beta2(), violations);
  if (training.has_epsilon()) violations.Positive(path("epsilon"), training.epsilon());
  if (training.has_max_gradient_norm()) {
    violations.NonNegative(path("max_gradient_norm"), training.max_gradient_norm());
  }
  violations.AtLeast(path("step_count"), training.step_count(), 0);
  if (training.has_epoch_count()) violations.Positive(path("epoch_count"), training.epoch_count());
}

// What is decided by evaluations needs them.
void ValidateStopping(const v1::JobSpec& spec, std::string_view field, Violations& violations) {
  const auto path = [&](std::string_view name) { return FieldPath(field, name); };
  const bool holds_out = !spec.evaluation_path().empty() || spec.evaluation_share() > 0;
  violations.AtLeast(path("kept_checkpoint_count"), spec.kept_checkpoint_count(), 0);
  violations.AtLeast(path("patience_evaluation_count"), spec.patience_evaluation_count(), 0);
  violations.NonNegative(path("least_improvement"), spec.least_improvement());
  if (spec.keep_best() && !holds_out) {
    violations.Add(path("keep_best"),
                   "needs held-out data; set evaluation_path or evaluation_share");
  }
  if (spec.patience_evaluation_count() > 0 &&
      (!holds_out || spec.evaluate_every_step_count() == 0)) {
    violations.Add(path("patience_evaluation_count"),
                   "needs evaluations; set evaluate_every_step_count, and evaluation_path or "
                   "evaluation_share");
  }
  if (spec.least_improvement() > 0 && spec.patience_evaluation_count() == 0) {
    violations.Add(path("least_improvement"),
                   "is read with patience_evaluation_count only, which is 0");
  }
  const double spike = spec.most_loss_spike();
  if (spike != 0 && !(spike > 1 && std::isfinite(spike))) {
    violations.Add(path("most_loss_spike"), StrCat("is ", spike, ", must be above 1, or 0"));
  }
}

}  // namespace

void ValidateJobSpec(const v1::JobSpec& spec, std::string_view field, Violations& violations) {
  const auto path = [&](std::string_view name) { return FieldPath(field, name); };
  if (spec.model_path().empty())
    violations.Add(path("model_path"), "is empty; name a model directory or a .gguf file");
  if (spec.dataset_path().empty())
    violations.Add(path("dataset_path"), "is empty; name a JSONL file");
  if (!v1::DataFormat_IsValid(spec.data_format()))
    violations.Add(path("data_format"), "is not a known format");
  if (!v1::LongRows_IsValid(spec.long_rows()))
    violations.Add(path("long_rows"), "is neither cut nor drop");
  if (!(spec.evaluation_share() >= 0 && spec.evaluation_share() < 1)) {
    violations.Add(path("evaluation_share"),
                   StrCat("is ", spec.evaluation_share(), ", must be 0 or above and below 1"));
  }
  if (spec.evaluation_share() > 0 && !spec.evaluation_path().empty()) {
    violations.Add(path("evaluation_share"),
                   "is set beside evaluation_path; evaluate on one of the two");
  }
  ValidateTraining(spec.training(), path("training"), violations);
  violations.AtLeast(path("checkpoint_every_step_count"), spec.checkpoint_every_step_count(), 0);
  violations.AtLeast(path("evaluate_every_step_count"), spec.evaluate_every_step_count(), 0);
  ValidateStopping(spec, field, violations);
  if (!IsDevice(spec.device())) {
    violations.Add(path("device"),
                   StrCat("is \"", spec.device(), "\", must be \"cpu\" or \"cuda:0\""));
  }
  violations.AtLeast(path("thread_count"), spec.thread_count(), 0);
  if (spec.thread_count() > kMostThreads)
    violations.Add(path("thread_count"),
                   StrCat("is ", spec.thread_count(), ", must be at most ", kMostThreads));
  if (spec.has_sample_token_count())
    violations.AtLeast(path("sample_token_count"), spec.sample_token_count(), 1);
}

v1::JobSpec WithDefaults(v1::JobSpec spec, bool lora) {
  v1::Training& training = *spec.mutable_training();
  const planner::Method method = lora ? planner::Method::kLora : planner::Method::kFull;
  if (!training.has_learning_rate()) training.set_learning_rate(planner::UsualLearningRate(method));
  if (training.schedule() == v1::SCHEDULE_UNSPECIFIED) training.set_schedule(v1::SCHEDULE_COSINE);
  if (!training.has_beta1()) training.set_beta1(0.9);
  if (!training.has_beta2()) training.set_beta2(0.999);
  if (!training.has_epsilon()) training.set_epsilon(1e-8);
  if (!training.has_max_gradient_norm()) training.set_max_gradient_norm(1.0);
  if (!training.has_epoch_count()) training.set_epoch_count(1.0);
  if (spec.kept_checkpoint_count() == 0) spec.set_kept_checkpoint_count(1);
  if (spec.device().empty()) spec.set_device("cpu");
  if (!spec.has_sample_token_count()) spec.set_sample_token_count(64);
  return spec;
}

absl::StatusOr<v1::JobSpec> ReadJobSpecFile(const std::string& path) {
  v1::JobSpec spec;
  TUNESMITH_RETURN_IF_ERROR(ReadJsonFile(path, &spec));
  Violations violations;
  ValidateJobSpec(spec, "", violations);
  const absl::Status status = violations.ToStatus();
  if (!status.ok()) return absl::InvalidArgumentError(StrCat(path, ": ", status.message()));
  return spec;
}

}  // namespace tunesmith::convert
