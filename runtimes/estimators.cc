// DeepSpeed, deepspeed/runtime/zero/stage_1_and_2.py and stage3.py, P parameters, G GPUs, LL = 4 x the largest layer's parameters:
//   stage 2 and below   2P + 18P/G (its stage-2 function; it has none for 0 and 1), with the optimizer offloaded 2P
//   stage 3             LL + 18P/G, optimizer offloaded LL + 2P/G, parameters too LL
// accelerate, commands/estimate.py: fp32 4 x the weights' bytes; in 16 bits the largest of model 1, gradients 1.5, optimizer 2 and step 2 times
// the fp32 bytes, so 8P.
#include "runtimes/estimators.h"

#include <algorithm>

namespace tunesmith::runtimes {
namespace {

double DeepSpeedEstimate(const RunSetup& setup) {
  const double parameters = static_cast<double>(setup.shape.parameter_count);
  const double gpus = static_cast<double>(setup.gpu_count);
  if (setup.zero_stage < 3) {
    return 2 * parameters + (setup.offload_optimizer ? 0 : 18 * parameters / gpus);
  }
  double largest = static_cast<double>(setup.shape.vocab_size * setup.shape.hidden_size);
  for (const LinearSize& linear : BlockLinears(setup.shape)) {
    largest = std::max(largest, static_cast<double>(linear.rows * linear.columns));
  }
  if (setup.offload_parameters) return 4 * largest;
  return 4 * largest + (setup.offload_optimizer ? 2 : 18) * parameters / gpus;
}

double AccelerateEstimate(const RunSetup& setup) {
  const double parameters = static_cast<double>(setup.shape.parameter_count);
  return (setup.arithmetic == Arithmetic::kFp32 ? 16 : 8) * parameters;
}

double EighteenBytes(const RunSetup& setup) {
  const double trained = static_cast<double>(TrainedParameterCount(setup));
  const bool full = setup.method == planner::Method::kFull;
  const double frozen = full ? 0 : static_cast<double>(setup.shape.parameter_count);
  return 18 * trained + 2 * frozen;
}

}  // namespace

EstimatorBytes OtherEstimates(const RunSetup& setup) {
  return {.deepspeed = DeepSpeedEstimate(setup),
          .accelerate = AccelerateEstimate(setup),
          .eighteen_per_parameter = EighteenBytes(setup)};
}

}  // namespace tunesmith::runtimes
