#pragma once

#include "absl/status/status.h"
#include "trainer/ops/rope.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/rope.h, in f32 and f64. REQUIRES: arguments that passed its checks.
namespace tunesmith::trainer::cpu {

absl::Status Rope(ThreadPool& threads, const RopeArgs& args);
absl::Status RopeBackward(ThreadPool& threads, const RopeArgs& args);

}  // namespace tunesmith::trainer::cpu
