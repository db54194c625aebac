#pragma once

#include "absl/status/status.h"
#include "trainer/ops/rms_norm.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/rms_norm.h, in f32 and f64. REQUIRES: arguments that passed its
// checks.
namespace tunesmith::trainer::cpu {

absl::Status RmsNorm(ThreadPool& threads, const RmsNormArgs& args);
absl::Status RmsNormBackward(ThreadPool& threads, const RmsNormBackwardArgs& args);
absl::Status RmsNormBackwardWeight(ThreadPool& threads, const RmsNormBackwardWeightArgs& args);

}  // namespace tunesmith::trainer::cpu
