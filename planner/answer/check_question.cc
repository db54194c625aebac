#include "planner/answer/check_question.h"

#include <cmath>
#include <string>
#include <vector>

#include "common/status_macros.h"
#include "common/text.h"
#include "planner/answer/candidates.h"
#include "planner/answer/predict.h"
#include "planner/answer/price_limits.h"
#include "planner/model/mix_names.h"
#include "planner/program/token_slice.h"

namespace tunesmith::planner {
namespace {

constexpr int64_t kLargestDeviceCount = 1 << 16;

// A device's rates lie between those of a pocket calculator and of a thousand of today's quickest GPUs; NaN lies nowhere.
constexpr double kLowestRate = 1e3;
constexpr double kHighestRate = 1e19;

absl::Status CheckRates(const DeviceGroup& devices) {
  const Hardware& h = devices.hardware;
  std::vector<std::string> problems;
  const auto check = [&](std::string_view field, double rate, bool needed) {
    if ((rate >= kLowestRate && rate <= kHighestRate) || (!needed && rate == 0)) return;
    problems.push_back(
        StrCat(field, " is ", rate, ", must be ", kLowestRate, " to ", kHighestRate));
  };
  if (h.memory_bytes < 1) problems.push_back(StrCat("memory_bytes is ", h.memory_bytes));
  check("memory_bytes_per_second", h.memory_bytes_per_second, true);
  check("fp32_dense_flops_per_second", h.fp32_dense_flops_per_second, true);
  check("bf16_dense_flops_per_second", h.bf16_dense_flops_per_second, false);
  check("fp16_dense_flops_per_second", h.fp16_dense_flops_per_second, false);
  check("link_bytes_per_second", h.link_bytes_per_second, devices.device_count > 1);
  check("host_bytes_per_second", h.host_bytes_per_second, false);
  check("network_bytes_per_second", devices.network_bytes_per_second, false);
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("hardware ", h.name, " for ", devices.device_count,
                                           " devices: ", StrJoin(problems, "; ")));
}

absl::Status CheckDevices(const DeviceGroup& devices) {
  const Hardware& h = devices.hardware;
  if (!h.trainer_runs) {
    return absl::UnimplementedError(StrCat("GPU ", h.name, " (sm_", h.compute_capability,
                                           ") is not planned yet: the bundled trainer needs bf16 "
                                           "tensor cores (sm_80 or newer); ask for an A10G, "
                                           "A100, L4, H100 or the like, or for another stack "
                                           "that runs there (--runtime hf)"));
  }
  if (devices.device_count < 1 || devices.device_count > kLargestDeviceCount)
    return absl::InvalidArgumentError(
        StrCat("device_count is ", devices.device_count, ", must be 1 to ", kLargestDeviceCount));
  TUNESMITH_RETURN_IF_ERROR(CheckRates(devices));
  if (devices.node_count < 1 || devices.device_count % devices.node_count != 0)
    return absl::InvalidArgumentError(StrCat("devices(", devices.device_count, ") % nodes(",
                                             devices.node_count,
                                             ") must be 0: every node has as many devices"));
  return absl::OkStatus();
}

absl::Status CheckNotNegative(std::string_view field, int64_t value) {
  if (value >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(field, " is ", value, ", must not be negative"));
}

absl::Status CheckPinnedRungs(const Question& question) {
  const uint32_t rungs = question.pinned.rungs;
  if ((rungs & ~kAnyRung) != 0 || rungs == 0)
    return absl::InvalidArgumentError(StrCat("pinned recompute rungs(", rungs,
                                             ") must name at least one of ",
                                             StrJoin(kRungNames, ", ")));
  const Hardware& h = question.devices.hardware;
  const bool host = HasHostMemory(h);
  if (rungs == BitOf(Rung::kHost) && !host)
    return absl::InvalidArgumentError(StrCat("recompute is pinned to host, but ", h.name,
                                             " has no host memory apart from its own"));
  return absl::OkStatus();
}

absl::Status CheckPinnedPercent(const PinnedAxes& pinned, Offload offload) {
  if (!pinned.offload_percent) return absl::OkStatus();
  if (*pinned.offload_percent < 1 || *pinned.offload_percent > 100)
    return absl::InvalidArgumentError(
        StrCat("pinned offload_percent(", *pinned.offload_percent, ") must be 1 to 100"));
  if (offload == Offload::kOptimizer) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(
      "pinned offload_percent(", *pinned.offload_percent,
      ") is a share of the optimizer's states, which the host keeps: ask for offload optimizer"));
}

absl::Status CheckPinnedSharing(const Question& question) {
  const PinnedAxes& pinned = question.pinned;
  const Hardware& h = question.devices.hardware;
  const int64_t devices = question.devices.device_count;
  if (pinned.zero_stage && (*pinned.zero_stage < 0 || *pinned.zero_stage > 3))
    return absl::InvalidArgumentError(
        StrCat("pinned zero_stage(", *pinned.zero_stage, ") must be 0 to 3"));
  if (pinned.zero_stage.value_or(0) > 0 && devices == 1)
    return absl::InvalidArgumentError(StrCat(
        "pinned zero_stage(", *pinned.zero_stage,
        ") shares what one device has with others; ask for several devices, such as 2x", h.name));
  const Offload offload = pinned.offload.value_or(Offload::kNone);
  TUNESMITH_RETURN_IF_ERROR(CheckPinnedPercent(pinned, offload));
  if (offload == Offload::kNone) return absl::OkStatus();
  if (!HasHostMemory(h))
    return absl::InvalidArgumentError(StrCat("offload is pinned to ",
                                             NameOf(kOffloadNames, offload), ", but ", h.name,
                                             " has no host memory apart from its own"));
  if (devices > 1 && pinned.zero_stage.value_or(3) < LeastZeroStage(offload))
    return absl::InvalidArgumentError(StrCat("pinned offload(", NameOf(kOffloadNames, offload),
                                             ") needs a pinned zero_stage(", *pinned.zero_stage,
                                             ") of at least ", LeastZeroStage(offload),
                                             ": ranks leave to their hosts what they share"));
  return absl::OkStatus();
}

// "devices(8) / sequence_parallel(2)", or "devices(8)".
std::string DataRanks(int64_t devices, int64_t sequence_parallel) {
  const std::string of = StrCat("devices(", devices, ")");
  return sequence_parallel == 1 ? of : StrCat(of, " / sequence_parallel(", sequence_parallel, ")");
}

// When weights are gathered may be pinned where they are, or where the search may choose that they are.
absl::Status CheckPinnedGathers(const Question& question) {
  const PinnedAxes& pinned = question.pinned;
  if (!pinned.gather_depth) return absl::OkStatus();
  if (*pinned.gather_depth < 0 || *pinned.gather_depth > 1)
    return absl::InvalidArgumentError(
        StrCat("pinned gather_depth(", *pinned.gather_depth, ") must be 0 or 1"));
  const bool shares = question.devices.device_count > 1 && pinned.zero_stage.value_or(3) == 3;
  if (*pinned.gather_depth == 1 || shares || pinned.offload == Offload::kAll)
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      "pinned gather_depth(0) gathers weights when their block runs, and none are gathered: ask "
      "for "
      "several devices with zero_stage 3, or for offload all");
}

absl::Status CheckPinned(const Question& question) {
  const PinnedAxes& pinned = question.pinned;
  const std::vector<int64_t> sequence_parallels = SequenceParallelsOf(question);
  if (sequence_parallels.empty())
    return CheckSequenceParallel(question, pinned.sequence_parallel.value_or(1));
  const int64_t fewest = sequence_parallels.front(),
                rows = question.workload.rows_per_step * fewest / question.devices.device_count;
  const int64_t tokens = SliceTokenCount(
      {.micro_batch = pinned.micro_batch.value_or(rows), .sequence_parallel = fewest},
      question.workload);
  if (pinned.mlp_tile_count && (*pinned.mlp_tile_count < 1 || *pinned.mlp_tile_count > tokens))
    return absl::InvalidArgumentError(StrCat("pinned mlp_tiles(", *pinned.mlp_tile_count,
                                             ") must be 1 to the tokens of a micro-batch(", tokens,
                                             ")"));
  TUNESMITH_RETURN_IF_ERROR(CheckPinnedSharing(question));
  TUNESMITH_RETURN_IF_ERROR(CheckPinnedGathers(question));
  return CheckPinnedRungs(question);
}

}  // namespace

absl::Status CheckSequenceParallel(const Question& question, int64_t ranks) {
  const int64_t devices = question.devices.device_count, rows = question.workload.rows_per_step;
  if (ranks < 1 || devices % ranks != 0)
    return absl::InvalidArgumentError(
        StrCat("devices(", devices, ") % sequence_parallel(", ranks, ") must be 0"));
  const int64_t data_ranks = devices / ranks;
  if (rows % data_ranks != 0) {
    return absl::InvalidArgumentError(
        StrCat("rows per step(", rows, ") % ", DataRanks(devices, ranks), " = ", rows % data_ranks,
               ", must be 0: every device takes as many rows; ask for ",
               (rows / data_ranks + 1) * data_ranks, " rows"));
  }
  const int64_t rows_of_rank = rows / data_ranks,
                micro_batch = question.pinned.micro_batch.value_or(rows_of_rank);
  if (micro_batch < 1 || rows_of_rank % micro_batch != 0)
    return absl::InvalidArgumentError(StrCat("pinned micro_batch(", micro_batch,
                                             ") does not divide rows per step(", rows, ") / ",
                                             DataRanks(devices, ranks), " = ", rows_of_rank));
  return CheckTokenSlices(question.model, question.workload,
                          {.micro_batch = micro_batch, .sequence_parallel = ranks});
}

absl::Status ValidateQuestion(const Question& question) {
  TUNESMITH_RETURN_IF_ERROR(ValidateModelSpec(question.model));
  TUNESMITH_RETURN_IF_ERROR(ValidateWorkload(question.workload, question.model));
  TUNESMITH_RETURN_IF_ERROR(CheckDevices(question.devices));
  TUNESMITH_RETURN_IF_ERROR(CheckNotNegative("memory_budget_bytes", question.memory_budget_bytes));
  TUNESMITH_RETURN_IF_ERROR(
      CheckNotNegative("host_memory_budget_bytes", question.host_memory_budget_bytes));
  TUNESMITH_RETURN_IF_ERROR(
      CheckNotNegative("pinned_memory_budget_bytes", question.pinned_memory_budget_bytes));
  TUNESMITH_RETURN_IF_ERROR(CheckPinned(question));
  TUNESMITH_RETURN_IF_ERROR(ValidateCalibration(question.calibration));
  return CheckStepTime(question);
}

absl::Status ValidateMixFor(const Question& question, const Mix& mix) {
  TUNESMITH_RETURN_IF_ERROR(ValidateMix(mix, question.model.layer_count));
  if (RankCount(mix) == question.devices.device_count) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("batch: ", RanksText(mix), " != devices(", question.devices.device_count, ")"));
}

}  // namespace tunesmith::planner
