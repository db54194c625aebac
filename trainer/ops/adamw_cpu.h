#pragma once

#include "absl/status/status.h"
#include "trainer/ops/adamw.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/adamw.h. REQUIRES: arguments that passed its checks.
namespace tunesmith::trainer::cpu {

absl::Status AdamW(ThreadPool& threads, const AdamWArgs& args);

}  // namespace tunesmith::trainer::cpu
