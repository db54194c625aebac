#include "trainer/ops/split_columns_cpu.h"

#include <algorithm>

#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

// x[i] = the sum of `count` rows of parts that lie `stride` elements apart.
template <typename S>
void SumParts(const S* parts, int64_t stride, int64_t count, int64_t width, S* x) {
  for (int64_t i = 0; i < width; ++i) {
    auto sum = Arithmetic<S>(parts[i]);
    for (int64_t copy = 1; copy < count; ++copy) sum += Arithmetic<S>(parts[copy * stride + i]);
    x[i] = sum;
  }
}

}  // namespace

absl::Status SplitColumns(ThreadPool& threads, const SplitColumnsArgs& args) {
  const int64_t N = args.x.dims[0], C = args.x.dims[1], W = args.parts.dims[1];
  const int64_t copies = args.part_count * W / C;
  return VisitStorage(OpKind::kSplitColumns, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    threads.ForRanges(args.part_count * N, RowGrain(W), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const S* x = args.x.as<S>() + row % N * C + row / N / copies * W;
        std::copy_n(x, W, args.parts.as<S>() + row * W);
      }
    });
    return absl::OkStatus();
  });
}

absl::Status JoinColumns(ThreadPool& threads, const JoinColumnsArgs& args) {
  const int64_t N = args.x.dims[0], C = args.x.dims[1], W = args.parts.dims[1];
  const int64_t copies = args.part_count * W / C;
  return VisitStorage(OpKind::kJoinColumns, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    threads.ForRanges(N, RowGrain(C), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        for (int64_t block = 0; block < C / W; ++block)
          SumParts(args.parts.as<S>() + (block * copies * N + n) * W, N * W, copies, W,
                   args.x.as<S>() + n * C + block * W);
      }
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
