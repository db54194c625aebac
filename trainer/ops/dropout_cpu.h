#pragma once

#include "absl/status/status.h"
#include "trainer/ops/dropout.h"
#include "trainer/thread_pool.h"

// CPU kernel of trainer/ops/dropout.h. REQUIRES: arguments that passed its checks.
namespace tunesmith::trainer::cpu {

absl::Status Dropout(ThreadPool& threads, const DropoutArgs& args);

}  // namespace tunesmith::trainer::cpu
