#pragma once

#include "absl/status/status.h"
#include "trainer/ops/layer_norm.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/layer_norm.h, in f32 and f64, stored in these or bf16. REQUIRES: arguments that passed its checks.
namespace tunesmith::trainer::cpu {

absl::Status LayerNorm(ThreadPool& threads, const LayerNormArgs& args);
absl::Status LayerNormBackward(ThreadPool& threads, const LayerNormBackwardArgs& args);
absl::Status LayerNormBackwardWeight(ThreadPool& threads, const LayerNormBackwardWeightArgs& args);

}  // namespace tunesmith::trainer::cpu
