#pragma once

#include "absl/status/status.h"
#include "trainer/ops/elementwise.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/elementwise.h, in f32 and f64. REQUIRES: arguments that passed its
// checks.
namespace tunesmith::trainer::cpu {

absl::Status Add(ThreadPool& threads, const AddArgs& args);
absl::Status SoftCap(ThreadPool& threads, const SoftCapArgs& args);
absl::Status Clear(ThreadPool& threads, const ClearArgs& args);
absl::Status Copy(ThreadPool& threads, const CopyArgs& args);

}  // namespace tunesmith::trainer::cpu
