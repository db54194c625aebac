#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/rows.cuh"
#include "trainer/ops/dropout_bits.h"
#include "trainer/ops/dropout_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

struct Drop {
  RowThreads threads;
  const uint64_t* key;
  uint64_t module_key;
  int64_t layer, context, row_begin, rows;
  int packs;  // of a row
  uint32_t threshold;
  float factor;
  bool accumulate;
};

// Threads make their token's key once, and go over some of its elements.
template <typename T, int N>
__global__ void DropKernel(Drop d, const Pack<T, N>* x, Pack<T, N>* y) {
  const RowPlace place = d.threads.Place();
  if (place.row >= d.rows) return;
  const int64_t at = static_cast<int64_t>(d.key[1]) + d.row_begin + place.row;
  const uint64_t key =
      DropoutTokenKey(d.key[0], d.module_key, d.layer, at / d.context, at % d.context);
#pragma unroll 2
  for (int p = place.thread; p < d.packs; p += place.threads) {
    const int64_t i = place.row * d.packs + p;
    const Pack<T, N> in = x[i];
    Pack<T, N> out;
    if (d.accumulate) out = y[i];
    for (int j = 0; j < N; ++j) {
      const bool is_kept = DropoutBits(key, int64_t{p} * N + j) >= d.threshold;
      const float kept = is_kept ? d.factor * ToFloat(in.values[j]) : 0.0f;
      out.values[j] = FromFloat<T>(d.accumulate ? ToFloat(out.values[j]) + kept : kept);
    }
    y[i] = out;
  }
}

}  // namespace

absl::Status Dropout(CudaContext& cuda, const DropoutArgs& args) {
  if (args.x.element_count() == 0) return absl::OkStatus();
  const int64_t rows = args.x.dims[0], width = args.x.dims[1];
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(width, {args.x.data, args.y.data}, [&](auto pack) {
      using P = Pack<T, pack.value>;
      const Drop d = {.threads = RowThreadsFor(width / pack.value),
                      .key = args.key.as<const uint64_t>(),
                      .module_key = args.module_key,
                      .layer = args.layer,
                      .context = args.context,
                      .row_begin = args.row_begin,
                      .rows = rows,
                      .packs = static_cast<int>(width / pack.value),
                      .threshold = DropoutThreshold(args.share),
                      .factor = static_cast<float>(1 / (1 - args.share)),
                      .accumulate = args.accumulate};
      return LaunchKernel(DropKernel<T, pack.value>, d.threads.ShapeFor(rows),
                          cuda.impl().stream.get(), d, args.x.as<const P>(), args.y.as<P>());
    });
  });
}

}  // namespace tunesmith::trainer::cuda
