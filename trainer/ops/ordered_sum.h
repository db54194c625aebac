#pragma once

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "trainer/thread_pool.h"

namespace tunesmith::trainer::cpu {

// Sum of function(begin, end) over consecutive ranges that cover [0, count), each of at least
// `grain` items except the last; ranges are cut by count alone and added in their order, so the
// result does not depend on the threads.
double OrderedSum(ThreadPool& threads, int64_t count, int64_t grain,
                  absl::FunctionRef<double(int64_t begin, int64_t end)> function);

}  // namespace tunesmith::trainer::cpu
