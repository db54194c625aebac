#include "runtimes/memory.h"

#include <algorithm>
#include <cmath>

#include "common/units.h"
#include "runtimes/block.h"
#include "runtimes/reserve.h"
#include "runtimes/states.h"

namespace tunesmith::runtimes {
namespace {

using planner::Method;

// What one GPU holds of activations at the instants, in bytes.
struct ActivationBytes {
  double saved_at_loss = 0;
  double saved_at_backward = 0;
  double live_block = 0;  // beyond what is saved, at the backward of the last block
  double loss = 0;
  double mask = 0;
};

// FSDP over a frozen base holds the inputs of checkpointed blocks twice in backward, not at the loss (measured: Mistral-7B 786.7 KB a token on 2
// and 4 GPUs against 541.0 on one, the excess being 2hL; the same for Llama-2-70B).
double InputCopies(const RunSetup& setup) {
  const bool doubled = setup.runtime == Runtime::kFsdp && setup.gpu_count > 1 &&
                       setup.zero_stage > 0 && setup.method == Method::kLora;
  return doubled ? 2 : 1;
}

ActivationBytes ActivationsOf(const RunSetup& setup) {
  const double tokens = static_cast<double>(MicroTokens(setup));
  const double layers = static_cast<double>(setup.shape.layer_count);
  const BlockBytes block = BlockBytesPerToken(setup);
  ActivationBytes bytes;
  bytes.loss = tokens * LossBytesPerToken(setup);
  bytes.mask = MaskBytes(setup);
  if (setup.checkpointing) {
    bytes.saved_at_loss = layers * tokens * block.input;
    bytes.saved_at_backward = bytes.saved_at_loss * InputCopies(setup);
    bytes.live_block = tokens * block.backward;
  } else {
    bytes.saved_at_loss = bytes.saved_at_backward = layers * tokens * block.kept;
    bytes.live_block = tokens * (block.backward - block.kept);
  }
  return bytes;
}

// From the second micro-batch on all gradients are there; DeepSpeed's partitions always are.
double GradientsDuringBackward(const RunSetup& setup, const StateBytes& state) {
  const bool all = setup.accumulation_count > 1 || setup.runtime == Runtime::kDeepSpeed;
  return all ? std::max(state.gradients, state.whole_gradients)
             : std::min(state.gradients, state.early_gradients);
}
double GradientsAtLoss(const RunSetup& setup, const StateBytes& state) {
  const bool all = setup.accumulation_count > 1 || setup.runtime == Runtime::kDeepSpeed;
  return all ? std::max(state.gradients, state.whole_gradients) : 0;
}

int64_t Round(double bytes) { return std::llround(bytes); }

Interval Around(double bytes, Spread spread) {
  return {Round(bytes), Round(bytes * spread.low), Round(bytes * spread.high)};
}

}  // namespace

std::string_view InstantName(Instant instant) {
  constexpr std::array<std::string_view, kInstantCount> kNames = {"load", "loss", "backward",
                                                                  "optimizer step"};
  return kNames[static_cast<size_t>(instant)];
}

MemoryPrediction PredictMemory(const RunSetup& setup) {
  const StateBytes state = StateBytesPerGpu(setup);
  const ActivationBytes activations = ActivationsOf(setup);
  const double resident = state.weights + state.optimizer;
  const double loss = resident + state.window + activations.saved_at_loss + activations.loss +
                      activations.mask + GradientsAtLoss(setup, state);
  const double backward = resident + state.window + activations.saved_at_backward +
                          activations.live_block + activations.mask +
                          GradientsDuringBackward(setup, state);
  const double step = resident + state.gradients + state.optimizer_temporary;
  const std::array<double, kInstantCount> instants = {state.weights, loss, backward, step};

  MemoryPrediction memory;
  for (size_t i = 0; i < instants.size(); ++i) memory.instant_bytes[i] = Round(instants[i]);
  const size_t peak =
      static_cast<size_t>(std::max_element(instants.begin(), instants.end()) - instants.begin());
  memory.binding_instant = static_cast<Instant>(peak);
  memory.allocated = Around(instants[peak], AllocatedSpread(setup.version_known));
  memory.context_bytes = ContextBytes(setup);
  const bool steps_apart = setup.method == Method::kFull && setup.runtime != Runtime::kDeepSpeed;
  const Reserve reserve = ReserveOf(
      setup, {.allocated = instants[peak],
              .base = steps_apart ? std::max(step, resident + state.whole_gradients)
                                  : resident + state.window + GradientsDuringBackward(setup, state),
              .saved_at_loss = activations.saved_at_loss,
              .saved_at_backward = activations.saved_at_backward,
              .live_block = activations.live_block,
              .loss = activations.loss});
  const double reserved = reserve.bytes;
  const double context = static_cast<double>(memory.context_bytes);
  memory.reserved = Around(reserved, ReservedSpread(setup.version_known));
  memory.process = Around(reserved + context, ReservedSpread(setup.version_known));
  const double budget = static_cast<double>(setup.hardware.memory_bytes);
  memory.fits = instants[peak] + reserve.stuck_bytes + context <= budget;
  memory.tight = memory.fits && reserved + context > budget;
  memory.host_bytes = Round(state.host);
  memory.weight_bytes = Round(state.weights);
  memory.gradient_bytes = Round(state.gradients);
  memory.optimizer_bytes = Round(state.optimizer);
  memory.optimizer_temporary_bytes = Round(state.optimizer_temporary);
  memory.window_bytes = Round(state.window);
  memory.saved_bytes = Round(activations.saved_at_backward);
  memory.live_block_bytes = Round(activations.live_block);
  memory.loss_bytes = Round(activations.loss);
  return memory;
}

}  // namespace tunesmith::runtimes
