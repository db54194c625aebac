#include "trainer/ops/flash_matrix_cuda.h"
#include "trainer/ops/flash_tile_cuda.cuh"

// With P = exp(score - log_sum_exp) and delta = d_o . o: dS = P (d_o v^T - delta), times the score's slope where it was changed, and
// dq = scale dS k. One block for a tile of queries of a head; also the kernel that writes the deltas.
namespace tunesmith::trainer::cuda {
namespace {

template <int kSize>
struct Shape {
  static constexpr int kHeadSize = kSize;
  static constexpr int kRowTiles = kSize <= 128 ? 2 : 1;
  static constexpr int kQueries = 16 * kRowTiles * kFlashWarps;
  static constexpr int kKeys = kSize <= 64 ? 64 : 32;
  static constexpr int kScoreTiles = kKeys / 8;
  static constexpr int kSumTiles = kSize / 8;
  static constexpr int kQueryElements = kQueries * kSize;
  static constexpr int kKeyElements = kKeys * kSize;
  // Queries and their outputs' gradients, and two stages of keys and values.
  static constexpr int64_t kSharedBytes = (2 * kQueryElements + 4 * kKeyElements) * int64_t{2};
};

// A lane's queries: two for each row tile.
struct QueryState {
  int query;
  float log_sum_exp;  // in units of the base-2 logarithm
  float delta;
};

// Products of queries and keys, and of gradients and values, become dS of the keys that begin at k0. A query's keys are all visible unless
// `hides`.
template <typename S, bool kChanged>
__device__ void ScoreGradients(const FlashDims& d, const int32_t* starts, int head, int k0,
                               bool hides, const QueryState (&queries)[S::kRowTiles][2],
                               const FlashFragment<S::kScoreTiles> (&scores)[S::kRowTiles],
                               FlashFragment<S::kScoreTiles> (&gradients)[S::kRowTiles]) {
  const int column = k0 + LaneOfWarp() % 4 * 2;
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const QueryState& q = queries[m][half];
      int first = 0, last = S::kKeys;
      if (hides) {
        const bool exists = q.query < d.context;
        first = exists ? d.FirstVisible(starts[q.query], q.query) - column : 0;
        last = exists ? q.query - column : -1;
      }
#pragma unroll
      for (int n = 0; n < S::kScoreTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int at = 8 * n + i;
          const float product = scores[m][n][2 * half + i];
          float& gradient = gradients[m][n][2 * half + i];
          float exponent, slope = 1.0f;
          if constexpr (kChanged) {
            const ChangedScore changed =
                d.change.Apply(d.scale * product, head, q.query - column - at);
            exponent = changed.score * kLog2E - q.log_sum_exp;
            slope = changed.slope;
          } else {
            exponent = product * (d.scale * kLog2E) - q.log_sum_exp;
          }
          gradient = PowerOfTwo(exponent) * (gradient - q.delta) * slope;
          if (at < first || at > last) gradient = 0.0f;
        }
      }
    }
  }
}

template <typename S>
__global__ void __launch_bounds__(kFlashThreads, 2)
    QueryGradientKernel(FlashDims d, FlashBackwardArgs<Bf16> a) {
  constexpr int kHeadSize = S::kHeadSize, kKeys = S::kKeys;
  auto* const q_tile = reinterpret_cast<Bf16*>(DynamicShared());
  Bf16* const d_o_tile = q_tile + S::kQueryElements;

  const QueryTile<S::kQueries> tile(d, a.document_starts);
  const KeyStages<kHeadSize, kKeys> keys(d, a, tile.row, tile.head, d_o_tile + S::kQueryElements);
  const int k_begin = tile.first_key / kKeys * kKeys;
  StartTile<kHeadSize, S::kQueries>(d, VectorsOf(d, a.q, d.query_stride, tile.row, tile.head),
                                    tile.q0, q_tile);
  StartTile<kHeadSize, S::kQueries>(d, VectorsOf(d, a.d_o, d.output_stride, tile.row, tile.head),
                                    tile.q0, d_o_tile);
  keys.Start(d, k_begin, 0);
  CommitCopies();

  const int warp_row = 16 * S::kRowTiles * WarpOfBlock();
  QueryState queries[S::kRowTiles][2];
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = tile.q0 + warp_row + 16 * m + LaneOfWarp() / 4 + 8 * half;
      const int64_t at = int64_t{tile.matrix} * d.context + min(query, d.context - 1);
      queries[m][half] = {query, a.log_sum_exp[at] * kLog2E, a.deltas[at]};
    }
  }
  const bool changed = d.changes_scores();
  FlashFragment<S::kSumTiles> dq[S::kRowTiles] = {};
  int stage = 0;
  for (int k0 = k_begin; k0 <= tile.last_query; k0 += kKeys, stage ^= 1) {
    WaitForCopies<0>();
    // This tile is there for every thread, and every thread is done with the one before.
    __syncthreads();
    if (k0 + kKeys <= tile.last_query) keys.Start(d, k0 + kKeys, stage ^ 1);
    CommitCopies();
    FlashFragment<S::kScoreTiles> scores[S::kRowTiles], gradients[S::kRowTiles];
    MultiplyTransposed<kHeadSize>(q_tile, warp_row, keys.Keys(stage), scores);
    MultiplyTransposed<kHeadSize>(d_o_tile, warp_row, keys.Values(stage), gradients);
    const bool hides = tile.template Hides<kKeys>(k0);
    if (changed) {
      ScoreGradients<S, true>(d, tile.starts, tile.head, k0, hides, queries, scores, gradients);
    } else {
      ScoreGradients<S, false>(d, tile.starts, tile.head, k0, hides, queries, scores, gradients);
    }
    MultiplyAccumulate<kHeadSize>(gradients, keys.Keys(stage), 0, dq);
  }
  const float factors[2] = {d.scale, d.scale};
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
    StoreRows<kHeadSize>(
        d, dq[m], factors, q_tile, warp_row + 16 * m, 0, tile.q0 + warp_row + 16 * m,
        a.dq + VectorAt(d, d.query_stride, tile.row, tile.head, 0), d.query_stride);
  }
}

// Eight lanes to a vector, in the vectors' order in memory.
constexpr int kLanesPerVector = 8;

__global__ void DeltaKernel(FlashDims d, FlashBackwardArgs<Bf16> a) {
  const int64_t vector = GlobalThread() / kLanesPerVector;
  const int64_t count = d.query_count();
  float sum = 0.0f;
  if (vector < count) {
    for (int64_t e = threadIdx.x % kLanesPerVector * 8; e < d.head_size; e += kLanesPerVector * 8) {
      const auto x = *reinterpret_cast<const Pack<Bf16, 8>*>(a.d_o + vector * d.head_size + e);
      const auto y = *reinterpret_cast<const Pack<Bf16, 8>*>(a.o + vector * d.head_size + e);
#pragma unroll
      for (int i = 0; i < 8; ++i) sum += ToFloat(x.values[i]) * ToFloat(y.values[i]);
    }
  }
#pragma unroll
  for (int offset = kLanesPerVector / 2; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  if (vector >= count || threadIdx.x % kLanesPerVector != 0) return;
  const int64_t head = vector % d.heads, token = vector / d.heads;
  a.deltas[(token / d.context * d.heads + head) * d.context + token % d.context] = sum;
}

}  // namespace

int64_t FlashQueryGradientSharedBytes(int64_t head_size) {
  return VisitHeadSize(head_size, [](auto size) { return Shape<size.value>::kSharedBytes; });
}

absl::Status FlashMatrixDeltas(const FlashDims& d, const FlashBackwardArgs<Bf16>& a,
                               cudaStream_t stream) {
  return LaunchKernel(DeltaKernel, {BlockCount(d.query_count() * kLanesPerVector)}, stream, d, a);
}

absl::Status FlashMatrixQueryGradient(const FlashDims& d, const FlashBackwardArgs<Bf16>& a,
                                      cudaStream_t stream) {
  return VisitHeadSize(d.head_size, [&](auto size) {
    using S = Shape<size.value>;
    const dim3 grid(BlockCount(d.context, S::kQueries) *
                    static_cast<unsigned int>(d.rows * d.heads));
    return LaunchKernel(QueryGradientKernel<S>, {grid, kFlashThreads, S::kSharedBytes}, stream, d,
                        a);
  });
}

}  // namespace tunesmith::trainer::cuda
