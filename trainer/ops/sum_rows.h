#pragma once

#include <array>
#include <cstdint>

#include "trainer/ops/grain.h"
#include "trainer/thread_pool.h"

namespace tunesmith::trainer::cpu {

// y (C) A = or += the sum over rows i in [0, N) of what add_row(i, begin, count, sums) adds to the
// sums (T) of columns [begin, begin + count). Each thread sums a range of columns over all rows in
// their order, so the result does not depend on the threads. An accumulator that is narrower than
// the sums is rounded once, after all rows.
template <typename A, typename T, typename AddRow>
void SumRows(ThreadPool& threads, int64_t N, int64_t C, bool accumulate, A* y, AddRow add_row) {
  threads.ForRanges(C, kColumnGrain, [&](int64_t begin, int64_t end) {
    const int64_t count = end - begin;
    std::array<T, kColumnGrain> sums = {};
    if (accumulate) {
      for (int64_t c = 0; c < count; ++c) sums[c] = T(y[begin + c]);
    }
    for (int64_t i = 0; i < N; ++i) add_row(i, begin, count, sums.data());
    for (int64_t c = 0; c < count; ++c) y[begin + c] = sums[c];
  });
}

}  // namespace tunesmith::trainer::cpu
