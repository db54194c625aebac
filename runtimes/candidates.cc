#include "runtimes/candidates.h"

#include <algorithm>

#include "common/text.h"

namespace tunesmith::runtimes {
namespace {

constexpr int64_t kFlashComputeCapability = 80;
// A network card of 200 Gbit/s for every GPU, where the question does not say.
constexpr double kAssumedCardBytesPerSecond = 25e9;

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
  if (question.memory_budget_bytes > 0)
    setup.hardware.memory_bytes =
        std::min(setup.hardware.memory_bytes, question.memory_budget_bytes);
  setup.runtime = question.runtime;
  setup.gpu_count = question.gpu_count;
  if (question.gpus_per_node > 0) setup.gpus_per_node = question.gpus_per_node;
  setup.network_bytes_per_second =
      question.network_bytes_per_second > 0
          ? question.network_bytes_per_second
          : kAssumedCardBytesPerSecond * static_cast<double>(setup.gpus_per_node);
  setup.lora = question.lora;
  setup.loss = question.loss;
  setup.optimizer = question.optimizer;
  setup.version = question.version.version;
  setup.version_known = question.version.known;
  setup.context = question.context;
  setup.epoch_count = question.epoch_count;
  setup.half_is_fp16 = question.hardware.bf16_dense_flops_per_second == 0;
  return setup;
}

// Under FSDP the 4-bit weights are stored as bf16, which prepare_model_for_kbit_training leaves alone.
void SetTuning(Tuning tuning, Quantization quantization, RunSetup& setup) {
  setup.method = tuning == Tuning::kFull ? planner::Method::kFull : planner::Method::kLora;
  if (tuning != Tuning::kQlora) return;
  setup.quantization = quantization;
  setup.prepared_for_kbit = setup.head_in_fp32 = setup.runtime != Runtime::kFsdp;
}

void SetOffload(Offload offload, RunSetup& setup) {
  setup.offload_optimizer = offload != Offload::kNone;
  setup.offload_parameters = offload == Offload::kOptimizerAndParameters;
}

// Every setup with every value of one more axis.
template <typename T, typename Set>
void Expand(const std::vector<T>& values, Set set, std::vector<RunSetup>& setups) {
  std::vector<RunSetup> expanded;
  for (const RunSetup& setup : setups) {
    for (const T value : values) set(value, expanded.emplace_back(setup));
  }
  setups = std::move(expanded);
}

std::vector<RunSetup> AllSetups(const RuntimeQuestion& question) {
  const RuntimePins& pins = question.pins;
  const int64_t rows_per_gpu = question.rows_per_step / question.gpu_count;
  std::vector<RunSetup> setups = {BaseSetup(question)};
  const Quantization quantization =
      question.double_quantization ? Quantization::kNf4Double : Quantization::kNf4;
  Expand(
      question.tunings,
      [&](Tuning tuning, RunSetup& setup) { SetTuning(tuning, quantization, setup); }, setups);
  Expand(
      Values(pins.zero_stage, Stages(question)),
      [](int64_t stage, RunSetup& setup) { setup.zero_stage = stage; }, setups);
  Expand(Values(pins.offload, Offloads(question)), SetOffload, setups);
  Expand(
      Values(pins.attention, Attentions(question)),
      [](Attention attention, RunSetup& setup) { setup.attention = attention; }, setups);
  Expand(
      Values<bool>(pins.checkpointing, {false, true}),
      [](bool checkpointing, RunSetup& setup) { setup.checkpointing = checkpointing; }, setups);
  Expand(
      Values(pins.micro_batch, Divisors(rows_per_gpu)),
      [&](int64_t micro_batch, RunSetup& setup) {
        setup.micro_batch = micro_batch;
        setup.accumulation_count = rows_per_gpu / micro_batch;
      },
      setups);
  return setups;
}

}  // namespace

absl::StatusOr<std::vector<RunSetup>> CandidateSetups(const RuntimeQuestion& question) {
  const int64_t rows_per_gpu = question.rows_per_step / question.gpu_count;
  const std::optional<int64_t>& micro_batch = question.pins.micro_batch;
  if (micro_batch && (*micro_batch < 1 || rows_per_gpu % *micro_batch != 0)) {
    return absl::InvalidArgumentError(
        StrCat("rows per GPU(", rows_per_gpu, ") % micro_batch(", *micro_batch, ") != 0"));
  }
  std::vector<RunSetup> valid;
  std::string least_problem;  // of what cannot be done, the shortest list of reasons
  for (RunSetup& setup : AllSetups(question)) {
    const std::string problem(ValidateSetup(setup).message());
    if (problem.empty()) {
      valid.push_back(std::move(setup));
    } else if (least_problem.empty() || problem.size() < least_problem.size()) {
      least_problem = problem;
    }
  }
  if (valid.empty()) return absl::InvalidArgumentError(least_problem);
  return valid;
}

}  // namespace tunesmith::runtimes
