#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/model/mix.h"
#include "tests/benchmarks/accuracy_points.h"

// What measured points are drawn from.
namespace tunesmith {

// Deep models are cut to some of their layers, whose widths stay.
struct ModelChoice {
  const char* name;
  int64_t layer_count;
};

// Each equally likely; what is twice in a list is twice as likely.
struct PointAxes {
  std::vector<ModelChoice> models;
  std::vector<int64_t> contexts;
  std::vector<int64_t> micro_batches;
  std::vector<int64_t> accumulations;
  std::vector<planner::Rung> rungs;  // of half of the layers
  std::vector<planner::OptimizerState> states;
  std::vector<planner::AttentionKernel> attention = {planner::AttentionKernel::kFlash,
                                                     planner::AttentionKernel::kFlash,
                                                     planner::AttentionKernel::kEager};
  planner::Precision precision;
  // Steps that are measured: neither too long nor too short, and of so many bytes at most, on the device and of its host.
  double least_seconds, most_seconds;
  int64_t most_arena_bytes, most_pinned_bytes;
  // Held at once.
  int64_t group_bytes;
  bool measures_pace;  // between rounds (profiler/pace.h)
};

// "cpu", "cpu-bf16", "gpu", or "tiny" for emulated devices. INVALID_ARGUMENT for another name.
absl::StatusOr<PointAxes> AxesOf(std::string_view name);

// The points of a seed, one after the other, without end; not each can be trained. `seconds` and `pace_seconds` are the caller's to measure.
class PointDraws {
 public:
  explicit PointDraws(uint64_t seed) : seed_(seed) {}
  absl::StatusOr<MeasuredStep> Next(const PointAxes& axes);

 private:
  template <typename T>
  T Of(const std::vector<T>& values);

  uint64_t seed_;
  uint64_t next_ = 0;
};

}  // namespace tunesmith
