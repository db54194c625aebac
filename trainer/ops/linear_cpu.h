#pragma once

#include "absl/status/status.h"
#include "trainer/ops/linear.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/linear.h, in f32 and f64. REQUIRES: arguments that passed its checks.
namespace tunesmith::trainer::cpu {

absl::Status Linear(ThreadPool& threads, const LinearArgs& args);
absl::Status LinearBias(ThreadPool& threads, const LinearBiasArgs& args);
absl::Status LinearBackwardInput(ThreadPool& threads, const LinearBackwardInputArgs& args);
absl::Status LinearBackwardWeight(ThreadPool& threads, const LinearBackwardWeightArgs& args);
absl::Status BiasBackward(ThreadPool& threads, const BiasBackwardArgs& args);

}  // namespace tunesmith::trainer::cpu
