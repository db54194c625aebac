#pragma once

#include "absl/status/status.h"
#include "trainer/ops/gather_rows.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/gather_rows.h, of any dtype: rows are moved as they are. REQUIRES:
// arguments that passed its checks.
namespace tunesmith::trainer::cpu {

absl::Status GatherRows(ThreadPool& threads, const GatherRowsArgs& args);
absl::Status ScatterRows(ThreadPool& threads, const ScatterRowsArgs& args);

}  // namespace tunesmith::trainer::cpu
