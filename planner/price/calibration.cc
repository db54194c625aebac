#include "planner/price/calibration.h"

#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "common/text.h"

namespace tunesmith::planner {
namespace {

// Rates of a pocket calculator, and of a thousand of today's quickest GPUs.
constexpr double kLowestRate = 1e3;
constexpr double kHighestRate = 1e19;
constexpr double kLargestFactor = 1e3;
constexpr double kMostRanks = 1 << 20;
constexpr double kMostSequences = 1e12;
constexpr double kLongestPaceSeconds = 1e4;
constexpr double kHighestClockHertz = 1e11;
constexpr double kLongestLaunchSeconds = 1;
constexpr double kLargestOutsideBytes = 1125899906842624;  // 2^50

class Checker {
 public:
  void AtLeastOne(std::string_view entry, int64_t value) {
    if (value < 1) problems_.push_back(StrCat(entry, " is ", value, ", must be at least 1"));
  }
  // False for NaN.
  void Within(std::string_view entry, double value, double lowest, double highest) {
    if (value >= lowest && value <= highest) return;
    problems_.push_back(StrCat(entry, " is ", value, ", must be ", lowest, " to ", highest));
  }
  void Rate(std::string_view entry, double value) {
    Within(entry, value, kLowestRate, kHighestRate);
  }
  // Two points at one place leave open which one holds.
  template <typename Place>
  void Once(std::string_view table, size_t index, const Place& place,
            std::map<Place, size_t>* seen) {
    const auto [first, added] = seen->emplace(place, index);
    if (!added)
      problems_.push_back(
          StrCat(table, "[", index, "] is at the same place as ", table, "[", first->second, "]"));
  }
  void Named(std::string_view entry, std::string_view value) {
    if (value.empty()) problems_.push_back(StrCat(entry, " is empty"));
  }
  absl::Status Result(std::string_view id) const {
    if (problems_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(StrCat("calibration '", id, "': ", StrJoin(problems_, "; ")));
  }

 private:
  std::vector<std::string> problems_;
};

void CheckGemm(const GemmPoint& point, size_t index, Checker* check) {
  const std::string entry = StrCat("gemm[", index, "].");
  check->Named(entry + "op_kind", point.op_kind);
  check->AtLeastOne(entry + "m", point.m);
  check->AtLeastOne(entry + "n", point.n);
  check->AtLeastOne(entry + "k", point.k);
  check->Rate(entry + "flops_per_second", point.flops_per_second);
}

void CheckAttention(const AttentionPoint& point, size_t index, Checker* check) {
  const std::string entry = StrCat("attention[", index, "].");
  check->Named(entry + "op_kind", point.op_kind);
  check->AtLeastOne(entry + "context", point.context);
  check->AtLeastOne(entry + "head_size", point.head_size);
  check->Within(entry + "sequence_count", static_cast<double>(point.sequence_count), 0,
                kMostSequences);
  check->Rate(entry + "flops_per_second", point.flops_per_second);
}

void CheckRate(const OpRate& rate, size_t index, Checker* check) {
  const std::string entry = StrCat("rates[", index, "].");
  check->Named(entry + "op_kind", rate.op_kind);
  check->AtLeastOne(entry + "bytes", rate.bytes);
  check->Within(entry + "rank_count", static_cast<double>(rate.rank_count), 0, kMostRanks);
  check->Rate(StrCat(entry, "bytes_per_second (", rate.op_kind, ")"), rate.bytes_per_second);
}

void CheckPlaces(const Calibration& calibration, Checker* check) {
  std::map<std::tuple<std::string, int64_t, int64_t, int64_t>, size_t> gemm;
  std::map<std::tuple<std::string, int64_t, int64_t, int64_t>, size_t> attention;
  std::map<std::tuple<std::string, int64_t, int64_t>, size_t> rates;
  for (size_t i = 0; i < calibration.gemm.size(); ++i) {
    const GemmPoint& p = calibration.gemm[i];
    check->Once("gemm", i, std::tuple(p.op_kind, p.m, p.n, p.k), &gemm);
  }
  for (size_t i = 0; i < calibration.attention.size(); ++i) {
    const AttentionPoint& p = calibration.attention[i];
    check->Once("attention", i, std::tuple(p.op_kind, p.context, p.head_size, p.sequence_count),
                &attention);
  }
  for (size_t i = 0; i < calibration.rates.size(); ++i) {
    const OpRate& r = calibration.rates[i];
    check->Once("rates", i, std::tuple(r.op_kind, r.bytes, r.rank_count), &rates);
  }
}

}  // namespace

Calibration InPrecision(Calibration calibration, Precision precision) {
  if (calibration.precision == precision) return calibration;
  return {.device_name = std::move(calibration.device_name),
          .fingerprint = std::move(calibration.fingerprint),
          .measured_at = std::move(calibration.measured_at),
          .precision = calibration.precision,
          .outside_arena_bytes = calibration.outside_arena_bytes,
          .host_memory_bytes_per_second = calibration.host_memory_bytes_per_second,
          .link_to_device_bytes_per_second = calibration.link_to_device_bytes_per_second,
          .link_from_device_bytes_per_second = calibration.link_from_device_bytes_per_second,
          .checkpoint_bytes_per_second = calibration.checkpoint_bytes_per_second};
}

absl::Status ValidateCalibration(const Calibration& calibration) {
  Checker check;
  if (!calibration.id.empty()) check.Named("device_name", calibration.device_name);
  for (size_t i = 0; i < calibration.gemm.size(); ++i) CheckGemm(calibration.gemm[i], i, &check);
  for (size_t i = 0; i < calibration.attention.size(); ++i)
    CheckAttention(calibration.attention[i], i, &check);
  for (size_t i = 0; i < calibration.rates.size(); ++i) CheckRate(calibration.rates[i], i, &check);
  CheckPlaces(calibration, &check);
  check.Within("launch_seconds", calibration.launch_seconds, 0, kLongestLaunchSeconds);
  check.Within("step_factor", calibration.step_factor, 1 / kLargestFactor, kLargestFactor);
  check.Within("relative_error", calibration.relative_error, 0, kLargestFactor);
  check.Within("outside_arena_bytes", static_cast<double>(calibration.outside_arena_bytes), 0,
               kLargestOutsideBytes);
  if (calibration.host_memory_bytes_per_second != 0)
    check.Rate("host_memory_bytes_per_second", calibration.host_memory_bytes_per_second);
  if (calibration.link_to_device_bytes_per_second != 0)
    check.Rate("link_to_device_bytes_per_second", calibration.link_to_device_bytes_per_second);
  if (calibration.link_from_device_bytes_per_second != 0)
    check.Rate("link_from_device_bytes_per_second", calibration.link_from_device_bytes_per_second);
  if (calibration.checkpoint_bytes_per_second != 0)
    check.Rate("checkpoint_bytes_per_second", calibration.checkpoint_bytes_per_second);
  check.Within("sharing_factor", calibration.sharing_factor, 0, kLargestFactor);
  check.Within("busy_share", calibration.busy_share, 0, 1);
  check.Within("pace_seconds", calibration.pace_seconds, 0, kLongestPaceSeconds);
  check.Within("clock_hertz", calibration.clock_hertz, 0, kHighestClockHertz);
  return check.Result(calibration.id);
}

}  // namespace tunesmith::planner
