#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/rows.cuh"
#include "trainer/ops/dropout_bits.h"
#include "trainer/ops/dropout_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

struct Drop {
  const uint64_t* key;
  uint64_t module_key;
  int64_t layer, context, row_begin;
  uint32_t threshold;
  float factor;
  bool accumulate;
};

// Threads make their token's key once, and go over some of its elements.
template <typename T, int N>
__global__ void DropKernel(RowPacks<T, N> rows, Drop d, const Pack<T, N>* x, Pack<T, N>* y) {
  const RowPlace place = rows.threads.Place();
  if (place.row >= rows.count) return;
  const int64_t first = place.row * rows.packs;
  HeldRows<T, N, 2, 1> row({x + first, d.accumulate ? y + first : nullptr}, rows.packs, place);
  const int64_t at = static_cast<int64_t>(d.key[1]) + d.row_begin + place.row;
  const uint64_t key =
      DropoutTokenKey(d.key[0], d.module_key, d.layer, at / d.context, at % d.context);
  row.ForEach([&](int i, const auto& packs) {
    Pack<T, N> out;
    uint64_t pair_bits = 0;
    for (int j = 0; j < N; ++j) {
      // Once for both of a pair: at full bandwidth there is time for some 40 instructions an element, and bits take 25.
      if (j % 2 == 0) pair_bits = DropoutPairBits(key, (int64_t{i} * N + j) / 2);
      const bool is_kept = DropoutHalf(pair_bits, N == 1 ? i : j) >= d.threshold;
      const float kept = is_kept ? d.factor * ToFloat(packs[0].values[j]) : 0.0f;
      out.values[j] = FromFloat<T>(d.accumulate ? ToFloat(packs[1].values[j]) + kept : kept);
    }
    y[first + i] = out;
  });
}

}  // namespace

absl::Status Dropout(CudaContext& cuda, const DropoutArgs& args) {
  const Drop d = {.key = args.key.as<const uint64_t>(),
                  .module_key = args.module_key,
                  .layer = args.layer,
                  .context = args.context,
                  .row_begin = args.row_begin,
                  .threshold = DropoutThreshold(args.share),
                  .factor = static_cast<float>(1 / (1 - args.share)),
                  .accumulate = args.accumulate};
  return VisitRows(args.x.dtype, args.x.dims[0], args.x.dims[1], {args.x.data, args.y.data},
                   [&]<typename T, int N>(const RowPacks<T, N>& rows) {
                     return LaunchKernel(DropKernel<T, N>, rows.launch_shape(),
                                         cuda.impl().stream.get(), rows, d,
                                         args.x.as<const Pack<T, N>>(), args.y.as<Pack<T, N>>());
                   });
}

}  // namespace tunesmith::trainer::cuda
