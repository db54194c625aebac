#pragma once

#include "absl/status/status.h"
#include "trainer/ops/gradient_norm.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/gradient_norm.h, in f32 and f64. REQUIRES: arguments that passed its
// checks.
namespace tunesmith::trainer::cpu {

absl::Status SumSquares(ThreadPool& threads, const SumSquaresArgs& args);
absl::Status ClipFactor(ThreadPool& threads, const ClipFactorArgs& args);

}  // namespace tunesmith::trainer::cpu
