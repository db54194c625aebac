#include "planner/answer/price_limits.h"

#include <algorithm>
#include <limits>

#include "common/text.h"
#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/model/size_limits.h"
#include "planner/price/price.h"

namespace tunesmith::planner {
namespace {

constexpr double kLongestStepSeconds = 9e6;
constexpr double kSlowestHopSeconds = 14e-6;  // PriceTable's, between nodes
constexpr double kOpsPerLayer = 200;          // with backward and recomputation some 60

double Real(int64_t value) { return static_cast<double>(value); }

// The most work of a step on one device.
struct Work {
  double gemm_flops = 0;
  double attention_flops = 0;
  double moved_bytes = 0;
  double op_count = 0;
  double exchanged_bytes = 0;
  double collective_count = 0;
};

double AdapterParameterCount(const Question& question) {
  const ModelSpec& m = question.model;
  const double width =
      Real(m.hidden_size) + Real(m.intermediate_size) + Real(m.head_count) * Real(m.head_size);
  return question.method == MethodChoice::kFull
             ? 0.0
             : 7 * Real(m.layer_count) * Real(question.lora.rank) * width;
}

int64_t RanksPerNode(const Question& question) {
  return question.devices.device_count / question.devices.node_count;
}

// Forward, backward and one recomputation: 8 operations per token and parameter. Attention: two products forward, again when recomputed, at
// most five backward, each of 2 operations. Every tensor is read and written by a few ops; weights once per micro-batch and direction.
Work MostWork(const Question& question) {
  const ModelSpec& m = question.model;
  const Workload& w = question.workload;
  const int64_t ranks = question.devices.device_count,
                tokens = CeilDivide(w.rows_per_step * w.context, ranks);
  // As many micro-batches as the most ranks that share one leave to each.
  const int64_t sharing = SequenceParallelsOf(question).back(),
                rows = w.rows_per_step * sharing / ranks;
  const double parameters = Real(ParameterCount(m)) + AdapterParameterCount(question);
  // Larger scores are no mix's: FamiliesOf leaves them out and BuildProgram refuses them.
  const double scores = std::min(MostScoreBytes(m, tokens, w.context), kLargestBytes);
  const double pairs = Real(tokens) * Real(w.context) * Real(m.head_count);
  return {
      .gemm_flops = 8 * Real(tokens) * parameters,
      .attention_flops = 18 * pairs * Real(m.layer_count) * Real(m.head_size),
      .moved_bytes =
          4 * (MostActivationBytes(m, tokens) + scores) + 64 * parameters * Real(rows + 1),
      .op_count = kOpsPerLayer * Real(rows) * Real(m.layer_count + 1) + Real(tokens),
      // Weights are gathered twice and gradients summed twice over, 4 bytes of each, in every micro-batch; shards are filled up.
      .exchanged_bytes =
          16 * Real(rows) * (2 * parameters + 4096 * Real(m.layer_count + 2) * Real(ranks)) +
          // What attention reads and writes, by the network of a node that its ranks share.
          (sharing > 1 ? MostActivationBytes(m, tokens) * Real(RanksPerNode(question)) : 0),
      // Beside those of weights and gradients, the ranks of a micro-batch exchange four tensors forward, as many when recomputed, and as many backward.
      .collective_count = (sharing > 1 ? 20 : 8) * Real(rows + 1) * Real(m.layer_count + 2)};
}

double SlowestLink(const Question& question) {
  const double network = NetworkBytesPerSecond(question.devices),
               link = question.devices.hardware.link_bytes_per_second;
  return network > 0 ? std::min(network, link) : link;
}

template <typename Points, typename Rate>
double Lowest(double lowest, const Points& points, Rate rate) {
  for (const auto& point : points) lowest = std::min(lowest, rate(point));
  return lowest;
}

double SlowestDatasheetAttention(const Hardware& hardware, Precision precision) {
  double slowest = std::numeric_limits<double>::infinity();
  for (int kernel = 0; kernel < kAttentionKernelCount; ++kernel) {
    slowest = std::min(slowest, DatasheetAttentionFlopsPerSecond(
                                    hardware, precision, static_cast<AttentionKernel>(kernel)));
  }
  return slowest;
}

}  // namespace

double MostStepSeconds(const Question& question) {
  const Hardware& h = question.devices.hardware;
  const Calibration& c = question.calibration;
  const Work work = MostWork(question);
  const double peak = PrecisionOf(question) == Precision::kBf16 && h.bf16_dense_flops_per_second > 0
                          ? h.bf16_dense_flops_per_second
                          : h.fp32_dense_flops_per_second;
  const double gemm = Lowest(kDatasheetGemmShare * peak, c.gemm,
                             [](const GemmPoint& p) { return p.flops_per_second; });
  const double attention = Lowest(SlowestDatasheetAttention(h, PrecisionOf(question)), c.attention,
                                  [](const AttentionPoint& p) { return p.flops_per_second; });
  const double memory = Lowest(kDatasheetMemoryShare * h.memory_bytes_per_second, c.rates,
                               [](const OpRate& r) { return r.bytes_per_second; });
  const double launch = std::max(kDatasheetLaunchSeconds, c.launch_seconds);
  const double compute = work.gemm_flops / gemm + work.attention_flops / attention +
                         work.moved_bytes / memory + work.op_count * launch;
  const double ranks = Real(question.devices.device_count);
  const double exchange =
      ranks > 1 ? work.exchanged_bytes / (kDatasheetMemoryShare * SlowestLink(question)) +
                      work.collective_count * 2 * (ranks + 1) * kSlowestHopSeconds
                : 0;
  return (compute + exchange) * std::max(1.0, c.step_factor);
}

absl::Status CheckStepTime(const Question& question) {
  const double seconds = MostStepSeconds(question);
  if (seconds <= kLongestStepSeconds) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(
      "an optimizer step on ", question.devices.hardware.name, " may take ", seconds,
      " seconds, more than the ", kLongestStepSeconds,
      " that times are kept in; ask for fewer rows per step or a shorter context, or correct the "
      "rates of the hardware or the calibration"));
}

}  // namespace tunesmith::planner
