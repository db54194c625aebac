#pragma once

#include "absl/status/status.h"
#include "trainer/ops/dequantize_nf4.h"
#include "trainer/thread_pool.h"

// CPU kernel of trainer/ops/dequantize_nf4.h. REQUIRES: arguments that passed its checks.
namespace tunesmith::trainer::cpu {

absl::Status DequantizeNf4(ThreadPool& threads, const DequantizeNf4Args& args);

}  // namespace tunesmith::trainer::cpu
