// A micro-batch takes what the GPU needs for its work or what Python needs to launch it, whichever is more; weights that are gathered add to it,
// behind compute where the link's copies leave the multiprocessors alone.
#include "runtimes/time.h"

#include <algorithm>

#include "runtimes/device_rates.h"
#include "runtimes/work.h"

namespace tunesmith::runtimes {
namespace {

using planner::Method;

double Count(int64_t count) { return static_cast<double>(count); }

// Seconds that Python, autograd and kernel launches take per block and micro-batch, forward, recomputation and backward: the floor that short
// rows run into. Qwen README, 256 and 512 tokens: LoRA 5.2 ms, GPTQ 6.3 ms, ZeRO-3 11.4 ms. FSDP is of the latter's kind (fms-acceleration,
// santacoder on two GPUs). Plain full fine-tuning has no adapters to launch.
double HostSecondsPerBlock(const RunSetup& setup) {
  const bool gathers = setup.zero_stage == 3;
  if (gathers) return setup.runtime == Runtime::kFsdp ? 11.0e-3 : 11.4e-3;
  if (setup.method == Method::kFull) return 3.5e-3;
  if (setup.quantization == Quantization::kNone) return 5.2e-3;
  return setup.quantization == Quantization::kGptq4 ? 6.3e-3 : 6.0e-3;
}

// A head of more than 128 elements (Gemma's 256) does not fit that kernel's registers.
double MaskedFlopsPerSecond(const RunSetup& setup, const DeviceRates& rates) {
  return rates.masked_flops_per_second *
         (setup.shape.head_size > 128 ? rates.masked_wide_head_share : 1);
}

double HalfFlopsPerSecond(const planner::Hardware& hardware) {
  return std::max(hardware.bf16_dense_flops_per_second, hardware.fp16_dense_flops_per_second);
}

// fp32 attention: 0.6 of the fp32 rate (universal-llm-trainer's QLoRA on A100).
double AttentionFlopsPerSecond(const RunSetup& setup, const DeviceRates& rates) {
  if (setup.computes_in_fp32) return 0.6 * setup.hardware.fp32_dense_flops_per_second;
  const double half = HalfFlopsPerSecond(setup.hardware);
  switch (setup.attention) {
    case Attention::kFlash:
      return rates.flash_share * half;
    case Attention::kFlashOne:
      return 0.5 * rates.flash_share *
             half;  // FlashAttention-2 is "around 2x" as quick (arXiv 2307.08691)
    case Attention::kMasked:
      return MaskedFlopsPerSecond(setup, rates);
    case Attention::kEfficient:
      return 0.3 * half;
    case Attention::kEager:
      break;
  }
  return 0.5 * rates.gemm_share * half;  // the whole square is computed
}

double GemmFlopsPerSecond(const RunSetup& setup, const DeviceRates& rates) {
  if (setup.computes_in_fp32)
    return rates.fp32_gemm_share * setup.hardware.fp32_dense_flops_per_second;
  return rates.gemm_share * HalfFlopsPerSecond(setup.hardware);
}

// Bytes that each GPU receives or sends per micro-batch.
double ShardedBytesPerMicroBatch(const RunSetup& setup) {
  if (setup.gpu_count == 1 || setup.zero_stage < 3) return 0;
  const double parameters = Count(setup.shape.parameter_count);
  const double width = setup.quantization == Quantization::kNone ? 2 : 0.62;
  const double gathers = 2 * width * parameters;
  const double reduces = setup.method == Method::kFull ? 2 * parameters : 0;
  const double others = Count(setup.gpu_count - 1) / Count(setup.gpu_count);
  return (gathers + reduces) * others;
}

// Per step: gradients reduced and, whole or updated, spread again. DeepSpeed's stage 2 reduces them every micro-batch.
double ReducedBytesPerStep(const RunSetup& setup) {
  if (setup.gpu_count == 1 || setup.zero_stage == 3) return 0;
  const bool half = setup.runtime == Runtime::kDeepSpeed ||
                    (setup.method == Method::kFull && setup.arithmetic == Arithmetic::kPure);
  const double others = Count(setup.gpu_count - 1) / Count(setup.gpu_count);
  const bool each_time = setup.runtime == Runtime::kDeepSpeed && setup.zero_stage == 2;
  const double passes = 1 + (each_time ? Count(setup.accumulation_count) : 1);
  return passes * (half ? 2 : 4) * Count(TrainedParameterCount(setup)) * others;
}

// Between nodes all network cards of a node work on the same ring, and reach 0.8 of what they carry.
double CollectiveBytesPerSecond(const RunSetup& setup, const DeviceRates& rates) {
  if (setup.gpu_count <= setup.gpus_per_node) return rates.collective_bytes_per_second;
  return std::min(rates.collective_bytes_per_second, 0.8 * setup.network_bytes_per_second);
}

// AdamW reads gradient, weight and two moments and writes three of them: 30 bytes per parameter. On a host 29, at the 116 GB/s that DeepSpeed's
// CPU Adam reached for all GPUs of a node together (ml-engineering, 8.03e9 parameters in 2.0 s); gradients and weights cross PCIe at 25 GB/s.
double OptimizerSeconds(const RunSetup& setup, const DeviceRates& rates) {
  const double trained = Count(TrainedParameterCount(setup));
  const double share = trained / Count(ShardCount(setup, 1));
  if (!setup.offload_optimizer) {
    return 30 * share / (rates.memory_share * setup.hardware.memory_bytes_per_second);
  }
  const double on_node = share * Count(std::min(setup.gpu_count, setup.gpus_per_node));
  return 29 * on_node / 116e9 + 4 * share / 25e9;
}

// Offloaded weights cross PCIe twice per micro-batch.
double OffloadSeconds(const RunSetup& setup) {
  if (!setup.offload_parameters) return 0;
  const double width = setup.quantization == Quantization::kNone ? 2 : 0.62;
  return 2 * width * Count(setup.shape.parameter_count) / Count(setup.gpu_count) / 20e9;
}

// Collectives that run beside compute slow it by 4 %: they take multiprocessors and memory bandwidth (fms-acceleration, 4 GPUs against 1).
constexpr double kContention = 1.04;

// PyTorch ops that unpack GPTQ weights are waited for between launches, so they add to the host's time.
double UnpackSeconds(const RunSetup& setup, double dequantization_seconds) {
  const bool in_ops = setup.quantization == Quantization::kGptq4 && !setup.fused_dequantization;
  return in_ops ? dequantization_seconds : 0;
}

std::string NoteOf(const DeviceRates& rates, const planner::Hardware& hardware) {
  if (rates.measured) return {};
  return "no published measurement of " + hardware.name +
         " was used: rates are guesses below those of other devices";
}

}  // namespace

TimePrediction PredictTime(const RunSetup& setup) {
  const DeviceRates& rates = RatesOf(setup.hardware.name);
  const MicroWork work = WorkOf(setup);
  const double memory_rate = rates.memory_share * setup.hardware.memory_bytes_per_second;
  const double micros = Count(setup.accumulation_count);
  TimePrediction time;
  time.gemm_seconds = micros * work.gemm_flops / GemmFlopsPerSecond(setup, rates);
  time.attention_seconds = micros * work.attention_flops / AttentionFlopsPerSecond(setup, rates);
  time.elementwise_seconds = micros * work.elementwise_bytes / memory_rate;
  time.dequantization_seconds = micros * work.dequantization_bytes / memory_rate;
  time.host_seconds = micros * Count(setup.shape.layer_count) * HostSecondsPerBlock(setup);

  const double gpu = time.gemm_seconds + time.attention_seconds + time.elementwise_seconds +
                     time.dequantization_seconds;
  double compute =
      std::max(gpu, time.host_seconds + UnpackSeconds(setup, time.dequantization_seconds));
  const bool gathers = setup.zero_stage == 3 && setup.gpu_count > 1;
  if (gathers && rates.collectives_overlap) compute *= kContention;
  const double rate = CollectiveBytesPerSecond(setup, rates);
  time.communication_seconds =
      (micros * ShardedBytesPerMicroBatch(setup) + ReducedBytesPerStep(setup)) / rate +
      micros * OffloadSeconds(setup);
  time.optimizer_seconds = OptimizerSeconds(setup, rates);
  time.step_seconds = compute + time.communication_seconds + time.optimizer_seconds;
  time.known_device = rates.measured;
  const bool known = rates.measured && setup.version_known;
  time.low_seconds = time.step_seconds * (known ? 0.85 : rates.measured ? 0.7 : 0.5);
  time.high_seconds = time.step_seconds * (known ? 1.25 : rates.measured ? 1.6 : 2.5);
  time.tokens_per_second_per_gpu = Count(MicroTokens(setup)) * micros / time.step_seconds;
  time.note = NoteOf(rates, setup.hardware);
  return time;
}

}  // namespace tunesmith::runtimes
