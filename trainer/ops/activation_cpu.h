#pragma once

#include "absl/status/status.h"
#include "trainer/ops/activation.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/activation.h, in f32 and f64, stored in these or bf16. REQUIRES: arguments that passed its checks.
namespace tunesmith::trainer::cpu {

absl::Status ApplyActivation(ThreadPool& threads, const ActivationArgs& args);
absl::Status ActivationBackward(ThreadPool& threads, const ActivationBackwardArgs& args);

}  // namespace tunesmith::trainer::cpu
