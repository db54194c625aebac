#include "planner/price/calibration.h"

#include <cmath>

#include "common/text.h"

namespace tunesmith::planner {
namespace {

class Checker {
 public:
  void Positive(std::string_view entry, double value) {
    if (!std::isfinite(value) || value <= 0) Add(entry, value, "positive and finite");
  }
  void NotNegative(std::string_view entry, double value) {
    if (!std::isfinite(value) || value < 0) Add(entry, value, "finite and not negative");
  }
  void Named(std::string_view entry, std::string_view value) {
    if (value.empty()) problems_.push_back(StrCat(entry, " is empty"));
  }
  absl::Status Result(std::string_view id) const {
    if (problems_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(StrCat("calibration '", id, "': ", StrJoin(problems_, "; ")));
  }

 private:
  void Add(std::string_view entry, double value, std::string_view wanted) {
    problems_.push_back(StrCat(entry, " is ", value, ", must be ", wanted));
  }
  std::vector<std::string> problems_;
};

void CheckGemm(const GemmPoint& point, size_t index, Checker* check) {
  const std::string entry = StrCat("gemm[", index, "].");
  check->Named(entry + "op_kind", point.op_kind);
  check->Positive(entry + "m", static_cast<double>(point.m));
  check->Positive(entry + "n", static_cast<double>(point.n));
  check->Positive(entry + "k", static_cast<double>(point.k));
  check->Positive(entry + "flops_per_second", point.flops_per_second);
}

void CheckAttention(const AttentionPoint& point, size_t index, Checker* check) {
  const std::string entry = StrCat("attention[", index, "].");
  check->Named(entry + "op_kind", point.op_kind);
  check->Positive(entry + "context", static_cast<double>(point.context));
  check->Positive(entry + "head_size", static_cast<double>(point.head_size));
  check->Positive(entry + "flops_per_second", point.flops_per_second);
}

void CheckRate(const OpRate& rate, size_t index, Checker* check) {
  const std::string entry = StrCat("rates[", index, "].");
  check->Named(entry + "op_kind", rate.op_kind);
  check->Positive(entry + "bytes", static_cast<double>(rate.bytes));
  check->Positive(StrCat(entry, "bytes_per_second (", rate.op_kind, ")"), rate.bytes_per_second);
}

}  // namespace

absl::Status ValidateCalibration(const Calibration& calibration) {
  Checker check;
  if (!calibration.id.empty()) check.Named("device_name", calibration.device_name);
  for (size_t i = 0; i < calibration.gemm.size(); ++i) CheckGemm(calibration.gemm[i], i, &check);
  for (size_t i = 0; i < calibration.attention.size(); ++i)
    CheckAttention(calibration.attention[i], i, &check);
  for (size_t i = 0; i < calibration.rates.size(); ++i) CheckRate(calibration.rates[i], i, &check);
  check.NotNegative("launch_seconds", calibration.launch_seconds);
  check.Positive("step_factor", calibration.step_factor);
  check.NotNegative("relative_error", calibration.relative_error);
  check.NotNegative("outside_arena_bytes", static_cast<double>(calibration.outside_arena_bytes));
  return check.Result(calibration.id);
}

}  // namespace tunesmith::planner
