#include "trainer/ops/flash_matrix_cuda.h"
#include "trainer/ops/flash_tile_cuda.cuh"

// dv = P^T d_o and dk = scale dS^T q, with P and dS as in flash_query_gradient_cuda.cu: one block for a tile of keys of a key/value head, over the
// heads of its group and, in each, the tiles of queries that see a key of the tile. Scores are held turned round, a row for each key, so that they are
// the left operands of both products as they are.
namespace tunesmith::trainer::cuda {
namespace {

template <int kSize>
struct Shape {
  static constexpr int kHeadSize = kSize;
  static constexpr int kKeys = 16 * kFlashWarps;
  static constexpr int kQueries = kSize <= 128 ? 64 : 32;
  static constexpr int kScoreTiles = kQueries / 8;
  // Registers hold two sums of so many elements: of larger heads a block computes half of the elements, and another the other half.
  static constexpr int kSlice = kSize <= 128 ? kSize : kSize / 2;
  static constexpr int kSlices = kSize / kSlice;
  static constexpr int kSumTiles = kSlice / 8;
  static constexpr int kQueryElements = kQueries * kSize;
  static constexpr int kKeyElements = kKeys * kSize;
  // Keys and values, two stages of queries and gradients, and what belongs to queries.
  static constexpr int64_t kSharedBytes =
      (2 * kKeyElements + 4 * kQueryElements) * int64_t{2} + 2 * 3 * kQueries * int64_t{4};
};

// What belongs to the queries of a stage.
template <int kQueries>
struct QueryStage {
  float log_sum_exps[kQueries];
  float deltas[kQueries];
  int32_t starts[kQueries];
};

// Products of keys and queries, and of values and gradients, become P^T and dS^T. All is visible unless `hides`.
template <typename S, bool kChanged>
__device__ void ScoreGradients(const FlashDims& d, int head, int key0, int q0, bool hides,
                               const QueryStage<S::kQueries>& queries,
                               FlashFragment<S::kScoreTiles>& scores,
                               FlashFragment<S::kScoreTiles>& gradients) {
  const int lane = LaneOfWarp();
  const int key = key0 + lane / 4;
#pragma unroll
  for (int n = 0; n < S::kScoreTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int at = 8 * n + lane % 4 * 2 + i;
      const int query = q0 + at;
      const float log_sum_exp = queries.log_sum_exps[at] * kLog2E;
      const float delta = queries.deltas[at];
      int first = 0;
      if (hides) {
        first = queries.starts[at];
        if (d.window > 0 && query - first >= d.window) first = query - d.window + 1;
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float& score = scores[n][2 * half + i];
        float& gradient = gradients[n][2 * half + i];
        float slope = 1.0f;
        if constexpr (kChanged) {
          const ChangedScore changed =
              d.change.Apply(d.scale * score, head, query - key - 8 * half);
          score = PowerOfTwo(changed.score * kLog2E - log_sum_exp);
          slope = changed.slope;
        } else {
          score = PowerOfTwo(score * (d.scale * kLog2E) - log_sum_exp);
        }
        if (hides && (key + 8 * half < first || key + 8 * half > query || query >= d.context))
          score = 0.0f;
        gradient = score * (gradient - delta) * slope;
      }
    }
  }
}

// Of the tiles of kQueries queries from `first` on, which see key `last_key` or an earlier one: the one after the last. First keys ascend.
template <int kQueries>
__device__ int64_t EndOfQueryTiles(const FlashDims& d, const int32_t* starts, int first,
                                   int last_key) {
  int64_t begin = first + 1, end = (d.context + kQueries - 1) / kQueries;
  while (begin < end) {
    const int middle = (begin + end) / 2;
    if (d.FirstVisible(starts[middle * kQueries], middle * kQueries) <= last_key) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

template <typename S>
__global__ void __launch_bounds__(kFlashThreads, 2)
    KeyGradientKernel(FlashDims d, FlashBackwardArgs<Bf16> a) {
  constexpr int kHeadSize = S::kHeadSize, kQueries = S::kQueries;
  using Stage = QueryStage<kQueries>;
  auto* const k_tile = reinterpret_cast<Bf16*>(DynamicShared());
  Bf16* const v_tile = k_tile + S::kKeyElements;
  // Stages of queries, then gradients.
  Bf16* const query_tiles = v_tile + S::kKeyElements;
  auto* const stages = reinterpret_cast<Stage*>(query_tiles + 4 * S::kQueryElements);

  // The first keys are seen by the most queries; they go first.
  const int matrices = d.rows * d.kv_heads;
  const int block = static_cast<int>(blockIdx.x);
  const int matrix = block % matrices;
  const int row = matrix / d.kv_heads, kv_head = matrix % d.kv_heads;
  const int k0 = block / matrices * S::kKeys;
  const int chunk0 = static_cast<int>(blockIdx.y) * S::kSumTiles;
  const int last_key = min(k0 + S::kKeys, d.context) - 1;
  const int32_t* const starts = a.document_starts + int64_t{row} * d.context;
  const int first_tile = k0 / kQueries;
  const int tile_count = EndOfQueryTiles<kQueries>(d, starts, first_tile, last_key) - first_tile;
  const int turns = d.group * tile_count;
  const auto head_of = [&](int turn) { return kv_head * d.group + turn / tile_count; };
  const auto first_query_of = [&](int turn) { return (first_tile + turn % tile_count) * kQueries; };
  const auto start_queries = [&](int turn, int stage) {
    const int head = head_of(turn), q0 = first_query_of(turn);
    Bf16* const tile = query_tiles + stage * 2 * S::kQueryElements;
    StartTile<kHeadSize, kQueries>(d, VectorsOf(d, a.q, d.query_stride, row, head), q0, tile);
    StartTile<kHeadSize, kQueries>(d, VectorsOf(d, a.d_o, d.output_stride, row, head), q0,
                                   tile + S::kQueryElements);
    const int thread = static_cast<int>(threadIdx.x);
    if (thread >= kQueries) return;
    const bool exists = q0 + thread < d.context;
    const int query = exists ? q0 + thread : 0;
    const int64_t at = (int64_t{row} * d.heads + head) * d.context + query;
    CopyAsync4(stages[stage].log_sum_exps + thread, a.log_sum_exp + at, exists);
    CopyAsync4(stages[stage].deltas + thread, a.deltas + at, exists);
    CopyAsync4(stages[stage].starts + thread, starts + query, exists);
  };
  StartTile<kHeadSize, S::kKeys>(d, VectorsOf(d, a.k, d.key_stride, row, kv_head), k0, k_tile);
  StartTile<kHeadSize, S::kKeys>(d, VectorsOf(d, a.v, d.key_stride, row, kv_head), k0, v_tile);
  start_queries(0, 0);
  CommitCopies();

  const int warp_row = 16 * WarpOfBlock();
  const bool changed = d.changes_scores();
  FlashFragment<S::kSumTiles> dk[1] = {}, dv[1] = {};
  int stage = 0;
  for (int turn = 0; turn < turns; ++turn, stage ^= 1) {
    WaitForCopies<0>();
    // This tile is there for every thread, and every thread is done with the one before.
    __syncthreads();
    if (turn + 1 < turns) start_queries(turn + 1, stage ^ 1);
    CommitCopies();
    const Bf16* const q_tile = query_tiles + stage * 2 * S::kQueryElements;
    const Bf16* const d_o_tile = q_tile + S::kQueryElements;
    const Stage& queries = stages[stage];
    const int q0 = first_query_of(turn);
    FlashFragment<S::kScoreTiles> scores[1], gradients[1];
    MultiplyTransposed<kHeadSize>(k_tile, warp_row, q_tile, scores);
    MultiplyTransposed<kHeadSize>(v_tile, warp_row, d_o_tile, gradients);
    // The last query has the last first key.
    const int end = q0 + kQueries;
    const bool hides = end > d.context || q0 < k0 + S::kKeys - 1 ||
                       queries.starts[kQueries - 1] > k0 || (d.window > 0 && end - d.window > k0);
    if (changed) {
      ScoreGradients<S, true>(d, head_of(turn), k0 + warp_row, q0, hides, queries, scores[0],
                              gradients[0]);
    } else {
      ScoreGradients<S, false>(d, head_of(turn), k0 + warp_row, q0, hides, queries, scores[0],
                               gradients[0]);
    }
    MultiplyAccumulate<kHeadSize>(scores, d_o_tile, chunk0, dv);
    MultiplyAccumulate<kHeadSize>(gradients, q_tile, chunk0, dk);
  }
  const int64_t at = VectorAt(d, d.key_stride, row, kv_head, 0), stride = d.key_stride;
  const float scales[2] = {d.scale, d.scale}, ones[2] = {1.0f, 1.0f};
  StoreRows<kHeadSize>(d, dk[0], scales, k_tile, warp_row, chunk0, k0 + warp_row, a.dk + at,
                       stride);
  StoreRows<kHeadSize>(d, dv[0], ones, v_tile, warp_row, chunk0, k0 + warp_row, a.dv + at, stride);
}

}  // namespace

int64_t FlashKeyGradientSharedBytes(int64_t head_size) {
  return VisitHeadSize(head_size, [](auto size) { return Shape<size.value>::kSharedBytes; });
}

absl::Status FlashMatrixKeyGradient(const FlashDims& d, const FlashBackwardArgs<Bf16>& a,
                                    cudaStream_t stream) {
  return VisitHeadSize(d.head_size, [&](auto size) {
    using S = Shape<size.value>;
    const dim3 grid(
        BlockCount(d.context, S::kKeys) * static_cast<unsigned int>(d.rows * d.kv_heads),
        S::kSlices);
    return LaunchKernel(KeyGradientKernel<S>, {grid, kFlashThreads, S::kSharedBytes}, stream, d, a);
  });
}

}  // namespace tunesmith::trainer::cuda
