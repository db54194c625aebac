#include "trainer/ops/dropout_cpu.h"

#include "trainer/ops/dispatch.h"
#include "trainer/ops/dropout_bits.h"
#include "trainer/ops/grain.h"

namespace tunesmith::trainer::cpu {
namespace {

template <typename S, typename T = Arithmetic<S>>
void DropRow(const S* x, int64_t count, uint64_t key, uint32_t threshold, T factor, bool accumulate,
             S* y) {
  for (int64_t e = 0; e < count; ++e) {
    const T kept = DropoutBits(key, e) >= threshold ? factor * T(x[e]) : T{0};
    y[e] = accumulate ? T(y[e]) + kept : kept;
  }
}

}  // namespace

absl::Status Dropout(ThreadPool& threads, const DropoutArgs& args) {
  const int64_t N = args.x.dims[0], I = args.x.dims[1];
  const uint64_t step_key = args.key.as<uint64_t>()[0];
  const int64_t first = static_cast<int64_t>(args.key.as<uint64_t>()[1]) + args.row_begin;
  const uint32_t threshold = DropoutThreshold(args.share);
  return VisitStorage(planner::OpKind::kDropout, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    const auto factor = static_cast<Arithmetic<S>>(1 / (1 - args.share));
    threads.ForRanges(N, RowGrain(I), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const int64_t at = first + n;
        const uint64_t key = DropoutTokenKey(step_key, args.module_key, args.layer,
                                             at / args.context, at % args.context);
        DropRow(args.x.as<S>() + n * I, I, key, threshold, factor, args.accumulate,
                args.y.as<S>() + n * I);
      }
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
