#pragma once

#include <algorithm>
#include <cstdint>

// How loops over tensors are cut into parts for the thread pool. The cuts depend on shapes only,
// never on the number of threads.
namespace tunesmith::trainer::cpu {

// Elements: large enough that handing out a part (about a microsecond) is small beside its work.
inline constexpr int64_t kElementGrain = 16384;

// Columns, where rows are summed: whole cache lines.
inline constexpr int64_t kColumnGrain = 64;

// Rows of so many elements.
inline int64_t RowGrain(int64_t row_elements) {
  return std::max<int64_t>(1, kElementGrain / std::max<int64_t>(1, row_elements));
}

}  // namespace tunesmith::trainer::cpu
