#include "tests/benchmarks/accuracy_points.h"

#include <algorithm>
#include <cmath>

#include "common/file.h"
#include "common/json.h"
#include "common/status_macros.h"
#include "planner/model/catalog.h"
#include "proto/convert/json.h"
#include "proto/convert/prediction.h"
#include "proto/convert/violations.h"
#include "trainer/selftest_model.h"

namespace tunesmith {

using nlohmann::json;

absl::StatusOr<planner::ModelSpec> ModelOf(const std::string& name) {
  const planner::ModelSpec small = trainer::SelfTestModel();
  return name == small.name ? small : planner::FindModel(name);
}

absl::StatusOr<planner::Question> QuestionOf(const MeasuredStep& step,
                                             const planner::Calibration& calibration) {
  planner::Question question;
  TUNESMITH_ASSIGN_OR_RETURN(question.model, ModelOf(step.model));
  question.model.layer_count = std::min(question.model.layer_count, step.layer_count);
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Mix mix, planner::ParseMix(step.mix));
  question.lora = mix.lora;
  question.workload = {.context = step.context,
                       .rows_per_step = mix.micro_batch * mix.accumulation_count,
                       .evaluates = false,
                       .generates = false};
  TUNESMITH_ASSIGN_OR_RETURN(
      question.devices,
      planner::ParseDeviceGroup(calibration.device_name.empty() ? "cpu" : calibration.device_name));
  question.calibration = calibration;
  return question;
}

absl::StatusOr<planner::Prediction> PredictStep(const MeasuredStep& step,
                                                const planner::Calibration& calibration) {
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Question question, QuestionOf(step, calibration));
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Mix mix, planner::ParseMix(step.mix));
  const planner::PriceTable prices(question.devices.hardware, calibration, mix.precision);
  return planner::Predict(question, mix, prices, planner::BudgetOf(question));
}

namespace {

void AddMemory(int64_t predicted_bytes, const MeasuredStep& step, ReplayedHost& replayed) {
  const double error =
      static_cast<double>(predicted_bytes) / static_cast<double>(step.device_bytes) - 1;
  replayed.memory_errors.push_back(error);
  replayed.worst_memory_error = std::max(replayed.worst_memory_error, std::abs(error));
  replayed.memory_under_count += predicted_bytes < step.device_bytes;
}

}  // namespace

absl::StatusOr<ReplayedHost> ReplayHost(const MeasuredHost& host) {
  ReplayedHost replayed;
  const auto count = static_cast<double>(host.steps.size());
  for (const MeasuredStep& step : host.steps) {
    TUNESMITH_ASSIGN_OR_RETURN(const planner::Prediction prediction,
                               PredictStep(step, host.calibration));
    const planner::TimePrediction& time = prediction.time;
    const double error = time.step_seconds / step.seconds - 1;
    replayed.errors.push_back(error);
    replayed.mean_error += std::abs(error) / count;
    replayed.bias += error / count;
    replayed.worst_error = std::max(replayed.worst_error, std::abs(error));
    const double quicker =
        step.pace_seconds > 0 ? host.calibration.pace_seconds / step.pace_seconds : 0;
    if (quicker > 0)
      replayed.paced_mean_error +=
          std::abs(time.step_seconds / (step.seconds * quicker) - 1) / count;
    const bool covered = step.seconds >= time.low_seconds && step.seconds <= time.high_seconds;
    replayed.covered_share += (covered ? 1 : 0) / count;
    if (step.device_bytes > 0) AddMemory(prediction.memory.total_bytes, step, replayed);
  }
  return replayed;
}

absl::Status WriteMeasuredHost(const MeasuredHost& host, const std::string& path) {
  json file;
  file["calibration"] = json::parse(convert::ToJson(convert::ToProto(host.calibration)));
  for (const MeasuredStep& step : host.steps)
    file["steps"].push_back({{"model", step.model},
                             {"layer_count", step.layer_count},
                             {"context", step.context},
                             {"mix", step.mix},
                             {"seconds", step.seconds},
                             {"pace_seconds", step.pace_seconds},
                             {"device_bytes", step.device_bytes}});
  return WriteFileAtomically(path, file.dump(0) + "\n");
}

absl::StatusOr<MeasuredHost> ReadMeasuredHost(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  TUNESMITH_ASSIGN_OR_RETURN(const json file, ParseJson(text, path));
  v1::Calibration proto;
  TUNESMITH_RETURN_IF_ERROR(convert::FromJson(file.at("calibration").dump(), path, &proto));
  convert::Violations violations;
  MeasuredHost host;
  host.calibration = convert::CalibrationFromProto(proto, "calibration", violations);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  for (const json& step : file.at("steps"))
    host.steps.push_back({.model = step.at("model"),
                          .layer_count = step.at("layer_count"),
                          .context = step.at("context"),
                          .mix = step.at("mix"),
                          .seconds = step.at("seconds"),
                          .pace_seconds = step.value("pace_seconds", 0.0),
                          .device_bytes = step.value("device_bytes", int64_t{0})});
  return host;
}

}  // namespace tunesmith
