#include "trainer/ops/ordered_sum.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "common/units.h"

namespace tunesmith::trainer::cpu {

double OrderedSum(ThreadPool& threads, int64_t count, int64_t grain,
                  absl::FunctionRef<double(int64_t begin, int64_t end)> function) {
  constexpr int64_t kMaxRanges = 4096;  // 32 KiB of partial sums: ops allocate no more than 64
  const int64_t range = std::max(grain, CeilDivide(count, kMaxRanges));
  std::vector<double> sums(CeilDivide(count, range));
  threads.ForRanges(count, range, [&](int64_t begin, int64_t end) {
    sums[begin / range] = function(begin, end);
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace tunesmith::trainer::cpu
