// The caching allocator hands a freed block on only to requests that fit into it, and a segment back only when all of it is free. So tensors of
// instants that never meet are reserved side by side:
//
//   * The optimizer step's peak and the activations add (fms-acceleration, FSDP of Mistral-7B in full: 33.7 allocated, 46.6 to 57.4 GiB of process).
//   * The next step's block inputs lie in what the logits left, so the logits get new segments, and backward finds room for its live block beside
//     them: the larger of both, plus once more the smaller (the same rows with three loss kernels: 26.9, 28.4 and 28.9 GiB at 4 rows; 23.3 without
//     logits). Where backward holds the inputs twice, the second copies take the logits' place.
//   * A tenth of the largest of these is lost to rounding and odd sizes (Liger's rows, whose loss holds nothing).
//   * FSDP over a frozen base loses a fifth of the block inputs, which lie between gathered layers, and 1.5 GiB; over GPTQ weights 1.6 GiB more
//     (least squares over 59 rows of fms-acceleration: 0.19, 1.5 and 1.67 GiB beyond context and NCCL).
//
// Once the device is full, the allocator gives free segments back: then the peak is anywhere between what is allocated and the device.
#include "runtimes/reserve.h"

#include <algorithm>

#include "common/units.h"

namespace tunesmith::runtimes {
namespace {

constexpr double kLostShare = 0.1;
constexpr double kFsdpLostShare = 0.2;
constexpr double kFsdpBytes = 0.8 * static_cast<double>(kGiB);
constexpr double kFsdpOverFrozenBytes = 1.5 * static_cast<double>(kGiB);
constexpr double kFsdpOverGptqBytes = 1.6 * static_cast<double>(kGiB);
// Of the bytes reserved beyond the allocated ones, those in segments that are not wholly free. Between 11 % (Mistral-7B in full, 16 rows: out of
// memory at 73.6 GiB allocated) and 23 % (the same with Liger's loss, which fits at 71.8).
constexpr double kStuckShare = 0.15;

bool IsFsdpOverFrozen(const RunSetup& setup) {
  return setup.runtime == Runtime::kFsdp && setup.gpu_count > 1 && setup.zero_stage > 0 &&
         setup.method == planner::Method::kLora;
}

double LostBytes(const RunSetup& setup, const AllocatedParts& parts) {
  if (IsFsdpOverFrozen(setup)) {
    const double gptq = setup.quantization == Quantization::kGptq4 ? kFsdpOverGptqBytes : 0;
    return kFsdpOverFrozenBytes + gptq + kFsdpLostShare * parts.saved_at_backward;
  }
  const bool sharded = setup.runtime == Runtime::kFsdp && setup.gpu_count > 1;
  return (sharded ? kFsdpBytes : 0) + kLostShare * std::max(parts.loss, parts.live_block);
}

double ActivationSegments(const AllocatedParts& parts) {
  const double second_copies = parts.saved_at_backward - parts.saved_at_loss;
  const double again = std::max(0.0, std::min(parts.loss, parts.live_block) - second_copies);
  return std::max(parts.saved_at_loss + parts.loss,
                  parts.saved_at_backward + parts.live_block + again);
}

}  // namespace

Reserve ReserveOf(const RunSetup& setup, const AllocatedParts& parts) {
  const double lost = LostBytes(setup, parts);
  const double wanted = std::max(parts.allocated, parts.base + ActivationSegments(parts)) + lost;
  const double room = static_cast<double>(setup.hardware.memory_bytes - ContextBytes(setup));
  Reserve reserve{.bytes = wanted, .stuck_bytes = kStuckShare * (wanted - parts.allocated)};
  if (IsFsdpOverFrozen(setup)) reserve.stuck_bytes = lost;
  if (wanted > room) reserve.bytes = std::max(parts.allocated, (parts.allocated + 2 * room) / 3);
  return reserve;
}

int64_t ContextBytes(const RunSetup& setup) {
  // T4: 140.9 MiB (fitcheck). A100: 501 MiB of context (AgileRL) and libraries, 0.8 GiB between reserved and process (fms-acceleration, Liger's
  // rows). Ada and other cards with less: 226 MiB (L4, AgileRL) and libraries. NCCL over NVLink 1.2 GiB (fms-acceleration, 2 and 4 GPUs), over
  // PCIe few channels (fsdp_qlora: 22.54 GiB reserved run on cards of 23.52).
  const int64_t capability = setup.hardware.compute_capability;
  const bool data_center = capability == 80 || capability == 90 || capability == 100;
  const int64_t context = capability < 80 ? 141 * kMiB : data_center ? 800 * kMiB : 450 * kMiB;
  if (setup.gpu_count == 1) return context;
  return context + (setup.hardware.link_bytes_per_second > 100e9 ? 1200 * kMiB : 400 * kMiB);
}

}  // namespace tunesmith::runtimes
