#include "runtimes/candidates.h"

#include "common/text.h"

namespace tunesmith::runtimes {
namespace {

constexpr int64_t kFlashComputeCapability = 80;

template <typename T>
std::vector<T> Values(const std::optional<T>& pinned, std::vector<T> free) {
  return pinned ? std::vector<T>{*pinned} : std::move(free);
}

std::vector<int64_t> Divisors(int64_t number) {
  std::vector<int64_t> divisors;
  for (int64_t divisor = 1; divisor <= number; ++divisor) {
    if (number % divisor == 0) divisors.push_back(divisor);
  }
  return divisors;
}

// On one GPU stages differ only by what they offload: stage 2 and 3 are there for that.
std::vector<int64_t> Stages(const RuntimeQuestion& question) {
  switch (question.runtime) {
    case Runtime::kHuggingFace:
      return {0};
    case Runtime::kDeepSpeed:
      return {0, 1, 2, 3};
    case Runtime::kFsdp:
      return {2, 3};
  }
  return {};
}

std::vector<Offload> Offloads(const RuntimeQuestion& question) {
  if (question.runtime == Runtime::kHuggingFace) return {Offload::kNone};
  return {Offload::kNone, Offload::kOptimizer, Offload::kOptimizerAndParameters};
}

std::vector<Attention> Attentions(const RuntimeQuestion& question) {
  const bool flash = question.hardware.compute_capability >= kFlashComputeCapability;
  return {Attention::kEager, flash ? Attention::kFlash : Attention::kEfficient};
}

RunSetup BaseSetup(const RuntimeQuestion& question) {
  RunSetup setup;
  setup.shape = question.shape;
  setup.hardware = question.hardware;
  setup.runtime = question.runtime;
  setup.gpu_count = question.gpu_count;
  setup.lora = question.lora;
  setup.loss = question.loss;
  setup.version = question.version.version;
  setup.version_known = question.version.known;
  setup.context = question.context;
  setup.half_is_fp16 = question.hardware.bf16_dense_flops_per_second == 0;
  return setup;
}

// Under FSDP the 4-bit weights are stored as bf16, which prepare_model_for_kbit_training leaves alone.
void SetTuning(Tuning tuning, RunSetup& setup) {
  setup.method = tuning == Tuning::kFull ? planner::Method::kFull : planner::Method::kLora;
  if (tuning != Tuning::kQlora) return;
  setup.quantization = Quantization::kNf4Double;
  setup.prepared_for_kbit = setup.head_in_fp32 = setup.runtime != Runtime::kFsdp;
}

void SetOffload(Offload offload, RunSetup& setup) {
  setup.offload_optimizer = offload != Offload::kNone;
  setup.offload_parameters = offload == Offload::kOptimizerAndParameters;
}

// Collects what validates; of what does not, the message that the fewest problems gave.
class Collector {
 public:
  void Add(const RunSetup& setup) {
    const absl::Status status = ValidateSetup(setup);
    if (status.ok()) return setups_.push_back(setup);
    if (nearest_problem_.empty() || status.message().size() < nearest_problem_.size())
      nearest_problem_ = std::string(status.message());
  }
  absl::StatusOr<std::vector<RunSetup>> Take() && {
    if (!setups_.empty()) return std::move(setups_);
    return absl::InvalidArgumentError(nearest_problem_.empty() ? "no mix answers the question"
                                                               : nearest_problem_);
  }

 private:
  std::vector<RunSetup> setups_;
  std::string nearest_problem_;
};

}  // namespace

absl::StatusOr<std::vector<RunSetup>> CandidateSetups(const RuntimeQuestion& question) {
  const RuntimePins& pins = question.pins;
  const int64_t rows_per_gpu = question.rows_per_step / question.gpu_count;
  if (pins.micro_batch && (*pins.micro_batch < 1 || rows_per_gpu % *pins.micro_batch != 0)) {
    return absl::InvalidArgumentError(
        StrCat("rows per GPU(", rows_per_gpu, ") % micro_batch(", *pins.micro_batch, ") != 0"));
  }
  Collector collector;
  RunSetup setup = BaseSetup(question);
  for (Tuning tuning : question.tunings) {
    RunSetup tuned = setup;
    SetTuning(tuning, tuned);
    for (int64_t stage : Values(pins.zero_stage, Stages(question))) {
      for (Offload offload : Values(pins.offload, Offloads(question))) {
        for (Attention attention : Values(pins.attention, Attentions(question))) {
          for (bool checkpointing : Values(pins.checkpointing, {false, true})) {
            for (int64_t micro_batch : Values(pins.micro_batch, Divisors(rows_per_gpu))) {
              tuned.zero_stage = stage;
              SetOffload(offload, tuned);
              tuned.attention = attention;
              tuned.checkpointing = checkpointing;
              tuned.micro_batch = micro_batch;
              tuned.accumulation_count = rows_per_gpu / micro_batch;
              collector.Add(tuned);
            }
          }
        }
      }
    }
  }
  return std::move(collector).Take();
}

}  // namespace tunesmith::runtimes
