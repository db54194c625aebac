#pragma once

#include "absl/status/status.h"
#include "trainer/ops/split_columns.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/split_columns.h. REQUIRES: arguments that passed its checks.
namespace tunesmith::trainer::cpu {

absl::Status SplitColumns(ThreadPool& threads, const SplitColumnsArgs& args);
absl::Status JoinColumns(ThreadPool& threads, const JoinColumnsArgs& args);

}  // namespace tunesmith::trainer::cpu
