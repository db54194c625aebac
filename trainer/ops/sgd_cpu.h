#pragma once

#include "absl/status/status.h"
#include "trainer/ops/sgd.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/sgd.h. REQUIRES: arguments that passed its checks.
namespace tunesmith::trainer::cpu {

absl::Status Sgd(ThreadPool& threads, const SgdArgs& args);

}  // namespace tunesmith::trainer::cpu
