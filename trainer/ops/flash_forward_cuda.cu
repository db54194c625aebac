#include "trainer/ops/flash_matrix_cuda.h"
#include "trainer/ops/flash_tile_cuda.cuh"

// With running maxima m and sums l of a query, over its tiles of keys:
//   S = q k^T,  m' = max(m, max S),  P = 2^(f (S - m')),  l = l 2^(f (m - m')) + sum P,  o = o 2^(f (m - m')) + P v,
// f = scale log2(e); at the end o /= l and log_sum_exp = f m / log2(e) + log l. Soft-caps and ALiBi change scale S, and f is log2(e).
namespace tunesmith::trainer::cuda {
namespace {

// Two row tiles of queries to a warp, where registers hold their sums: every fragment of keys and values then serves two products.
template <int kSize>
struct Shape {
  static constexpr int kHeadSize = kSize;
  static constexpr int kRowTiles = kSize <= 128 ? 2 : 1;
  static constexpr int kQueries = 16 * kRowTiles * kFlashWarps;
  static constexpr int kKeys = kSize <= 128 ? 64 : 32;
  static constexpr int kScoreTiles = kKeys / 8;
  static constexpr int kSumTiles = kSize / 8;
  static constexpr int kQueryElements = kQueries * kSize;
  static constexpr int kKeyElements = kKeys * kSize;
  // Queries, and two stages of keys and values.
  static constexpr int64_t kSharedBytes = (kQueryElements + 4 * kKeyElements) * int64_t{2};
};

// Keys [k0, k0 + kKeys) that query `query` does not see get scores of minus infinity.
template <typename S>
__device__ void HideScores(const FlashDims& d, const int32_t* starts, int q0, int k0,
                           FlashFragment<S::kScoreTiles> (&scores)[S::kRowTiles]) {
  const int lane = LaneOfWarp();
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = q0 + 16 * m + lane / 4 + 8 * half;
      const bool exists = query < d.context;
      // Of the lane's column 0 in tile 0; a query that does not exist sees none.
      const int column = k0 + lane % 4 * 2;
      const int first = exists ? d.FirstVisible(starts[query], query) - column : 0;
      const int last = exists ? query - column : -1;
#pragma unroll
      for (int n = 0; n < S::kScoreTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int at = 8 * n + i;
          if (at < first || at > last) scores[m][n][2 * half + i] = -INFINITY;
        }
      }
    }
  }
}

// Raw products become changed scores.
template <typename S>
__device__ void ChangeScores(const FlashDims& d, int head, int q0, int k0,
                             FlashFragment<S::kScoreTiles> (&scores)[S::kRowTiles]) {
  const int lane = LaneOfWarp();
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int distance = q0 + 16 * m + lane / 4 + i / 2 * 8 - k0 - lane % 4 * 2 - i % 2;
#pragma unroll
      for (int n = 0; n < S::kScoreTiles; ++n) {
        scores[m][n][i] = d.change.Apply(d.scale * scores[m][n][i], head, distance - 8 * n).score;
      }
    }
  }
}

// What a lane keeps of its queries' softmax. Maxima are the same in the four lanes of a query, sums are the lane's share.
template <int kRowTiles>
struct SoftmaxState {
  float maxima[kRowTiles][2];
  float sums[kRowTiles][2];
};

__device__ inline float MaxOfQuad(float value) {
  value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1));
  return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2));
}
__device__ inline float SumOfQuad(float value) {
  value += __shfl_xor_sync(0xffffffffu, value, 1);
  return value + __shfl_xor_sync(0xffffffffu, value, 2);
}

// Scores become 2^(factor (score - new maximum)); earlier outputs are brought to the new maximum.
template <typename S>
__device__ void Softmax(float factor, FlashFragment<S::kScoreTiles> (&scores)[S::kRowTiles],
                        SoftmaxState<S::kRowTiles>& state,
                        FlashFragment<S::kSumTiles> (&o)[S::kRowTiles]) {
  float corrections[S::kRowTiles][2];
  bool changes = false;
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float old = state.maxima[m][half];
      float maximum = old;
#pragma unroll
      for (int n = 0; n < S::kScoreTiles; ++n)
        maximum = fmaxf(maximum, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
      maximum = MaxOfQuad(maximum);
      // Minus infinity as long as the query has seen no key.
      const float base = maximum == -INFINITY ? 0.0f : maximum * factor;
      const float correction = maximum == old ? 1.0f : PowerOfTwo(old * factor - base);
      float sum = 0.0f;
#pragma unroll
      for (int n = 0; n < S::kScoreTiles; ++n) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          scores[m][n][i] = PowerOfTwo(scores[m][n][i] * factor - base);
          sum += scores[m][n][i];
        }
      }
      state.maxima[m][half] = maximum;
      state.sums[m][half] = state.sums[m][half] * correction + sum;
      corrections[m][half] = correction;
      changes |= correction != 1.0f;
    }
  }
  if (!__any_sync(0xffffffffu, changes)) return;
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < S::kSumTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) o[m][n][i] *= corrections[m][i / 2];
    }
  }
}

template <typename S>
__global__ void __launch_bounds__(kFlashThreads, 2)
    ForwardKernel(FlashDims d, FlashForwardArgs<Bf16> a) {
  constexpr int kHeadSize = S::kHeadSize, kKeys = S::kKeys;
  auto* const q_tile = reinterpret_cast<Bf16*>(DynamicShared());

  const QueryTile<S::kQueries> tile(d, a.document_starts);
  const KeyStages<kHeadSize, kKeys> keys(d, a, tile.row, tile.head, q_tile + S::kQueryElements);
  const int k_begin = tile.first_key / kKeys * kKeys;
  StartTile<kHeadSize, S::kQueries>(d, VectorsOf(d, a.q, d.query_stride, tile.row, tile.head),
                                    tile.q0, q_tile);
  keys.Start(d, k_begin, 0);
  CommitCopies();

  const int warp_row = 16 * S::kRowTiles * WarpOfBlock();
  const bool changed = d.changes_scores();
  const float factor = changed ? kLog2E : d.scale * kLog2E;
  FlashFragment<S::kSumTiles> o[S::kRowTiles] = {};
  SoftmaxState<S::kRowTiles> state;
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      state.maxima[m][half] = -INFINITY;
      state.sums[m][half] = 0.0f;
    }
  }
  int stage = 0;
  for (int k0 = k_begin; k0 <= tile.last_query; k0 += kKeys, stage ^= 1) {
    WaitForCopies<0>();
    // This tile is there for every thread, and every thread is done with the one before.
    __syncthreads();
    if (k0 + kKeys <= tile.last_query) keys.Start(d, k0 + kKeys, stage ^ 1);
    CommitCopies();
    FlashFragment<S::kScoreTiles> scores[S::kRowTiles];
    MultiplyTransposed<kHeadSize>(q_tile, warp_row, keys.Keys(stage), scores);
    if (changed) ChangeScores<S>(d, tile.head, tile.q0 + warp_row, k0, scores);
    if (tile.template Hides<kKeys>(k0))
      HideScores<S>(d, tile.starts, tile.q0 + warp_row, k0, scores);
    Softmax<S>(factor, scores, state, o);
    MultiplyAccumulate<kHeadSize>(scores, keys.Values(stage), 0, o);
  }

  const int lane = LaneOfWarp();
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
    const int64_t t0 = tile.q0 + warp_row + 16 * m;
    float inverses[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = SumOfQuad(state.sums[m][half]);
      const int query = t0 + lane / 4 + 8 * half;
      inverses[half] = 1.0f / sum;
      if (lane % 4 == 0 && query < d.context) {
        a.log_sum_exp[int64_t{tile.matrix} * d.context + query] =
            state.maxima[m][half] * factor * kLn2 + logf(sum);
      }
    }
    StoreRows<kHeadSize>(d, o[m], inverses, q_tile, warp_row + 16 * m, 0, t0,
                         a.o + VectorAt(d, d.output_stride, tile.row, tile.head, 0),
                         d.output_stride);
  }
}

}  // namespace

int64_t FlashForwardSharedBytes(int64_t head_size) {
  return VisitHeadSize(head_size, [](auto size) { return Shape<size.value>::kSharedBytes; });
}

absl::Status FlashMatrixForward(const FlashDims& d, const FlashForwardArgs<Bf16>& a,
                                cudaStream_t stream) {
  return VisitHeadSize(d.head_size, [&](auto size) {
    using S = Shape<size.value>;
    const dim3 grid(BlockCount(d.context, S::kQueries) *
                    static_cast<unsigned int>(d.rows * d.heads));
    return LaunchKernel(ForwardKernel<S>, {grid, kFlashThreads, S::kSharedBytes}, stream, d, a);
  });
}

}  // namespace tunesmith::trainer::cuda
