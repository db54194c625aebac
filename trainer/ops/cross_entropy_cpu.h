#pragma once

#include "absl/status/status.h"
#include "trainer/ops/cross_entropy.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/cross_entropy.h, in f32 and f64. REQUIRES: arguments that passed its
// checks.
namespace tunesmith::trainer::cpu {

absl::Status CrossEntropy(ThreadPool& threads, const CrossEntropyArgs& args);
absl::Status CrossEntropyInPlace(ThreadPool& threads, const CrossEntropyInPlaceArgs& args);

}  // namespace tunesmith::trainer::cpu
