#pragma once

#include "absl/status/status.h"
#include "trainer/ops/swiglu.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/swiglu.h, in f32 and f64. REQUIRES: arguments that passed its checks.
namespace tunesmith::trainer::cpu {

absl::Status SwiGlu(ThreadPool& threads, const SwiGluArgs& args);
absl::Status SwiGluBackward(ThreadPool& threads, const SwiGluBackwardArgs& args);

}  // namespace tunesmith::trainer::cpu
