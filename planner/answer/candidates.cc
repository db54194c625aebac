#include "planner/answer/candidates.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "common/units.h"
#include "planner/answer/check_question.h"
#include "planner/answer/predict.h"
#include "planner/answer/price_limits.h"
#include "planner/model/catalog.h"
#include "planner/model/family.h"
#include "planner/model/mix_names.h"
#include "planner/model/size_limits.h"
#include "planner/program/cudnn_attention.h"
#include "planner/program/decoder_layer.h"
#include "planner/program/layer_parameters.h"
#include "planner/program/token_slice.h"
#include "planner/program/training_segments.h"
#include "planner/program/workspace.h"

namespace tunesmith::planner {
namespace {

template <typename T>
std::vector<T> OnlyPinned(std::vector<T> values, const std::optional<T>& pinned) {
  if (pinned) values = {*pinned};
  return values;
}

std::vector<Method> MethodsOf(const Question& question) {
  switch (question.method) {
    case MethodChoice::kFull:
      return {Method::kFull};
    case MethodChoice::kLora:
      return {Method::kLora};
    case MethodChoice::kQlora:
      return {Method::kQlora};
    case MethodChoice::kAny:
      break;
  }
  std::vector<Method> methods = {Method::kFull, Method::kLora};
  if (CanQuantize(question.model)) methods.push_back(Method::kQlora);
  return methods;
}

std::vector<int64_t> DivisorsOf(int64_t n) {
  std::vector<int64_t> divisors;
  for (int64_t d = 1; d * d <= n; ++d) {
    if (n % d != 0) continue;
    divisors.push_back(d);
    if (d != n / d) divisors.push_back(n / d);
  }
  std::sort(divisors.begin(), divisors.end());
  return divisors;
}

// The whole MLP at once, or in tiles that still run at the full matrix rate.
std::vector<int64_t> TileCountsOf(int64_t token_count) {
  constexpr int64_t kMostTileCount = 16;
  if (token_count < 2 * kTileUnit) return {1};
  return {1, std::min(token_count / kTileUnit, kMostTileCount)};
}

std::string Percent(double share) { return absl::StrFormat("%.1f %%", 100 * share); }

// What ranks share, where there are several.
std::vector<int64_t> ZeroStagesOf(const Question& question) {
  if (question.devices.device_count == 1) return {0};
  std::vector<int64_t> stages = OnlyPinned<int64_t>({0, 1, 2, 3}, question.pinned.zero_stage);
  const int64_t least = LeastZeroStage(question.pinned.offload.value_or(Offload::kNone));
  stages.erase(stages.begin(), std::lower_bound(stages.begin(), stages.end(), least));
  return stages;
}

// How a step's rows come to the ranks.
struct BatchSplit {
  int64_t micro_batch = 0;
  int64_t accumulation_count = 0;
  int64_t data_parallel = 0;
  int64_t sequence_parallel = 0;
  int64_t token_count = 0;       // of a micro-batch, on a rank
  int64_t loss_token_count = 0;  // likewise
};

BatchSplit SplitOf(const Question& question, int64_t micro_batch, int64_t ranks) {
  const Mix mix{.micro_batch = micro_batch, .sequence_parallel = ranks};
  const int64_t data_ranks = question.devices.device_count / ranks;
  return {.micro_batch = micro_batch,
          .accumulation_count = question.workload.rows_per_step / data_ranks / micro_batch,
          .data_parallel = data_ranks,
          .sequence_parallel = ranks,
          .token_count = SliceTokenCount(mix, question.workload),
          .loss_token_count = SliceLossTokenCount(mix, question.workload)};
}

// Whether fewer ranks, by the greatest common divisor of both numbers, have as many tokens each of smaller micro-batches, and name those of the loss as well, or
// neither does.
bool HasSmallerTwin(const Question& question, const BatchSplit& split,
                    const std::vector<int64_t>& rank_counts) {
  const int64_t common = std::gcd(split.micro_batch, split.sequence_parallel),
                ranks = split.sequence_parallel / common;
  if (common == 1 || !std::binary_search(rank_counts.begin(), rank_counts.end(), ranks))
    return false;
  const BatchSplit twin = SplitOf(question, split.micro_batch / common, ranks);
  return (twin.loss_token_count < twin.token_count) == (split.loss_token_count < split.token_count);
}

std::vector<BatchSplit> BatchesOf(const Question& question) {
  const std::vector<int64_t> rank_counts = SequenceParallelsOf(question);
  std::vector<BatchSplit> batches;
  for (int64_t ranks : rank_counts) {
    const int64_t rows = question.workload.rows_per_step / (question.devices.device_count / ranks);
    for (int64_t micro_batch : OnlyPinned(DivisorsOf(rows), question.pinned.micro_batch)) {
      const BatchSplit split = SplitOf(question, micro_batch, ranks);
      const Mix mix{.micro_batch = micro_batch, .sequence_parallel = ranks};
      if (!CheckTokenSlices(question.model, question.workload, mix).ok()) continue;
      if (!question.pinned.micro_batch && HasSmallerTwin(question, split, rank_counts)) continue;
      batches.push_back(split);
    }
  }
  return batches;
}

// The family, with each share of its states that the host may keep: all of them first, which takes the least memory of the device.
std::vector<Mix> ByOffloadPercent(const Question& question, Mix family) {
  if (family.offload != Offload::kOptimizer) return {family};
  std::vector<Mix> families;
  for (int64_t percent : OnlyPinned<int64_t>({100, 90, 80, 70, 60, 50, 40, 30, 20, 10},
                                             question.pinned.offload_percent)) {
    family.offload_percent = percent;
    families.push_back(family);
  }
  return families;
}

// Each, in each way in which its weights may be gathered: late last, which takes less memory and is never quicker.
void AddByGatherDepth(const Question& question, Mix family, std::vector<Mix>& families) {
  if (!GathersWeights(family)) return families.push_back(family);
  for (int64_t depth : OnlyPinned<int64_t>({1, 0}, question.pinned.gather_depth)) {
    family.gather_depth = depth;
    families.push_back(family);
  }
}

// cuDNN's engines are offered where a calibration has met them: a host may lack the library, and no device has shown yet that its results are right.
std::vector<AttentionKernel> AttentionKernelsOf(const Question& question) {
  std::vector<AttentionKernel> kernels = {AttentionKernel::kEager, AttentionKernel::kFlash};
  const auto& measured = question.calibration.attention;
  const bool met = std::any_of(measured.begin(), measured.end(), [](const AttentionPoint& p) {
    return p.op_kind == OpKindName(OpKind::kCudnnAttention);
  });
  if (met && TakesCudnn(question)) kernels.push_back(AttentionKernel::kCudnn);
  return OnlyPinned(kernels, question.pinned.attention);
}

}  // namespace

Backend BackendOf(const Hardware& hardware) {
  return {.kind = hardware.compute_capability > 0 ? BackendKind::kCuda : BackendKind::kCpu,
          .compute_capability = hardware.compute_capability};
}

bool HasEagerAttention(const Backend& backend, Precision precision) {
  return backend.kind == BackendKind::kCuda || precision == Precision::kFp32;
}

Precision PrecisionOf(const Question& question) {
  return question.precision.value_or(UsualPrecision(question.devices.hardware));
}

Links LinksOf(const DeviceGroup& devices) {
  return {.ranks_per_node = devices.device_count / devices.node_count,
          .network_bytes_per_second = NetworkBytesPerSecond(devices)};
}

std::vector<int64_t> SequenceParallelsOf(const Question& question) {
  const DeviceGroup& devices = question.devices;
  const auto possible = [&](const std::vector<int64_t>& counts) {
    std::vector<int64_t> kept;
    for (int64_t ranks : counts) {
      if (CheckSequenceParallel(question, ranks).ok()) kept.push_back(ranks);
    }
    return kept;
  };
  if (question.pinned.sequence_parallel) return possible({*question.pinned.sequence_parallel});
  const std::vector<int64_t> in_node =
      possible(DivisorsOf(devices.device_count / devices.node_count));
  return in_node.empty() ? possible(DivisorsOf(devices.device_count)) : in_node;
}

int64_t MostDeviceCount(const Question& question, int64_t at_most) {
  // Ranks that share a row divide its heads.
  const int64_t rows = question.workload.rows_per_step,
                sharing = question.pinned.sequence_parallel.value_or(question.model.head_count);
  if (rows < 1 || sharing < 1) return 1;
  return rows >= CeilDivide(at_most, sharing) ? at_most : rows * sharing;
}

bool TakesCudnn(const Question& question) {
  if (PrecisionOf(question) != Precision::kBf16) return false;
  const ProgramInputs inputs = InputsFor(question, {});
  const int64_t sharing = question.pinned.sequence_parallel.value_or(1);
  return inputs.backend.kind == BackendKind::kCuda &&
         CheckCudnnTakes(AttentionAttributes(inputs, sharing), DType::kBF16, 1,
                         inputs.backend.compute_capability)
             .ok();
}

std::vector<Mix> FamiliesOf(const Question& question) {
  std::vector<Mix> families;
  const PinnedAxes& pinned = question.pinned;
  const std::vector<int64_t> zero_stages = ZeroStagesOf(question);
  const std::vector<BatchSplit> batches = BatchesOf(question);
  const std::vector<AttentionKernel> attention_kernels = AttentionKernelsOf(question);
  for (Method method : MethodsOf(question)) {
    for (AttentionKernel attention : attention_kernels) {
      for (LossKernel loss : OnlyPinned({LossKernel::kFull, LossKernel::kChunked}, pinned.loss)) {
        for (const BatchSplit& batch : batches) {
          if (attention == AttentionKernel::kEager && !pinned.attention &&
              !HasEagerAttention(BackendOf(question.devices.hardware), PrecisionOf(question)))
            continue;
          // One chunk holds everything: the two loss kernels are the same program.
          if (loss == LossKernel::kChunked && !pinned.loss &&
              batch.loss_token_count <= kLossChunkRowCount)
            continue;
          // Scores that no number of bytes can say.
          if (attention == AttentionKernel::kEager && !pinned.attention &&
              MostScoreBytes(question.model, batch.token_count, question.workload.context) >
                  kLargestBytes)
            continue;
          if (pinned.mlp_tile_count && *pinned.mlp_tile_count > batch.token_count) continue;
          for (int64_t tile_count :
               OnlyPinned(TileCountsOf(batch.token_count), pinned.mlp_tile_count)) {
            for (int64_t zero_stage : zero_stages) {
              const Mix family{.method = method,
                               .lora = question.lora,
                               .double_quantization = question.double_quantization,
                               .precision = PrecisionOf(question),
                               .optimizer = question.optimizer,
                               .optimizer_state = question.optimizer_state,
                               .accumulation_dtype = question.accumulation_dtype,
                               .zero_stage = zero_stage,
                               .offload = question.pinned.offload.value_or(Offload::kNone),
                               .attention = attention,
                               .loss = loss,
                               .mlp_tile_count = tile_count,
                               .micro_batch = batch.micro_batch,
                               .accumulation_count = batch.accumulation_count,
                               .data_parallel = batch.data_parallel,
                               .sequence_parallel = batch.sequence_parallel};
              for (const Mix& shared : ByOffloadPercent(question, family))
                AddByGatherDepth(question, shared, families);
            }
          }
        }
      }
    }
  }
  return families;
}

RecomputeLimits LimitsOf(const Question& question, const Mix& family, int64_t kept_bytes) {
  constexpr uint32_t kHost = BitOf(Rung::kHost);
  RecomputeLimits limits{.rungs = question.pinned.rungs, .deadline = question.deadline};
  // Where device and host are one memory, or no link is known, there is nothing to gain.
  if (!HasHostMemory(question.devices.hardware)) {
    limits.rungs &= ~kHost;
    return limits;
  }
  const DeviceMemoryBudget budget = BudgetOf(question);
  const int64_t input_bytes =
      AlignUp(SliceTokenCount(family, question.workload) * question.model.hidden_size *
                  SizeOf(ComputeDType(InputsFor(question, family))),
              kBufferAlignmentBytes);
  limits.host_layer_count = question.model.layer_count;
  const auto allow = [&](int64_t budget_bytes, int64_t outside_bytes) {
    if (budget_bytes > 0)
      limits.host_layer_count = std::clamp<int64_t>(
          (budget_bytes - outside_bytes - kept_bytes) / input_bytes, 0, limits.host_layer_count);
  };
  allow(budget.pinned_budget_bytes, 0);
  allow(budget.host_budget_bytes, budget.host_outside_bytes);
  return limits;
}

bool HostHolds(const Question& question, int64_t kept_bytes) {
  const DeviceMemoryBudget budget = BudgetOf(question);
  const auto holds = [&](int64_t budget_bytes, int64_t outside_bytes) {
    return budget_bytes == 0 || kept_bytes + outside_bytes <= budget_bytes;
  };
  return holds(budget.pinned_budget_bytes, 0) &&
         holds(budget.host_budget_bytes, budget.host_outside_bytes);
}

int64_t MixCount(const RecomputeLimits& limits, int64_t layer_count) {
  constexpr int64_t kMost = int64_t{1} << 62;
  const bool host = (limits.rungs >> static_cast<int>(Rung::kHost) & 1u) != 0;
  const int rungs = std::popcount(limits.rungs) - (host ? 1 : 0);
  // Layers over r rungs in order: binomial(layers + r - 1, r - 1).
  const auto ways = [&](int64_t layers) {
    double count = 1;
    for (int i = 1; i < rungs; ++i)
      count *= static_cast<double>(layers + i) / static_cast<double>(i);
    return std::round(count);
  };
  double sum = 0;
  for (int64_t on_host = 0; on_host <= (host ? limits.host_layer_count : 0); ++on_host)
    sum += ways(layer_count - on_host);
  return sum < static_cast<double>(kMost) ? static_cast<int64_t>(sum) : kMost;
}

ProgramInputs InputsFor(const Question& question, const Mix& mix) {
  return {.model = question.model,
          .workload = question.workload,
          .mix = mix,
          .backend = BackendOf(question.devices.hardware)};
}

RowStatistics RowsFor(const Question& question) {
  // The CPU's kernel works on whole tiles, the GPU's on the pairs that are seen.
  const bool cpu = BackendOf(question.devices.hardware).kind == BackendKind::kCpu;
  return ExpectedRows(question.workload, cpu ? kFlashTile : 1, question.model.sliding_window);
}

// A sentence for those whose host can be measured.
std::string HowToMeasure(const Question& question) {
  const std::string_view precision = NameOf(kPrecisionNames, PrecisionOf(question));
  if (!question.calibration.device_name.empty())
    return StrCat(
        " This device was calibrated in ", NameOf(kPrecisionNames, question.calibration.precision),
        "; `tunesmith calibrate --precision ", precision, "` measures it in ", precision, ".");
  if (question.devices.hardware.compute_capability > 0) return "";
  return StrCat(" `tunesmith calibrate",
                PrecisionOf(question) == Precision::kFp32 ? "" : StrCat(" --precision ", precision),
                "` measures this host in two minutes.");
}

std::vector<std::string> NotesOn(const Question& question, const RowStatistics& rows) {
  std::vector<std::string> notes;
  const ModelSpec& model = question.model;
  if (std::string note = NoteOnShape(model.name, model.source); !note.empty())
    notes.push_back(std::move(note));
  const std::string_view why = FindFamily(model.family)->not_trained_because;
  if (!why.empty())
    notes.push_back(StrCat("This model is planned; ", why, " (family ", model.family, ")."));
  if (model.expert_count > 0)
    notes.push_back(StrCat(
        "Of ", ParameterCount(model), " parameters one token goes through ",
        ActiveParameterCount(model),
        "; time counts these, memory all of them. How tokens spread over experts is not planned, "
        "and adapters leave the experts alone."));
  if (question.calibration.id.empty())
    notes.push_back(StrCat(
        "Times come from datasheets, not from measurements: expect them within a factor, not "
        "within percents.",
        HowToMeasure(question)));
  const DeviceGroup& devices = question.devices;
  const bool offloads = question.pinned.offload.value_or(Offload::kNone) != Offload::kNone;
  if (devices.hardware.compute_capability > 0 && (devices.device_count > 1 || offloads))
    notes.push_back(
        "Several ranks, and offload, of the bundled trainer were tested on CPUs and with an "
        "emulated CUDA, and on no GPU yet.");
  if (question.pinned.attention == AttentionKernel::kCudnn)
    notes.push_back(
        "cuDNN's attention was tested with an emulated cuDNN, and on no GPU yet; where a host has "
        "no cuDNN 9, the trainer says so and runs its own kernels, in the same memory.");
  if (devices.node_count > 1 && devices.network_bytes_per_second == 0)
    notes.push_back(StrCat("Nodes are assumed to be connected at ",
                           kAssumedNetworkBytesPerSecond * 1e-9,
                           " GB/s each (400 Gb/s); say what yours have."));
  if (!question.workload.length_histogram.empty()) {
    notes.push_back(
        StrCat("Packing is expected to fill ", Percent(rows.filled_share),
               " of a row; tokens/s and hours count tokens of the data set, not padding.",
               rows.kept_share < 1 ? StrCat(" Cutting documents to the context leaves ",
                                            Percent(rows.kept_share), " of the data set.")
                                   : ""));
  } else if (question.workload.dataset_token_count > 0) {
    notes.push_back("Hours assume that the packer fills the rows.");
  }
  return notes;
}

}  // namespace tunesmith::planner
