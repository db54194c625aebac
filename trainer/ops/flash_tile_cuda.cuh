#pragma once

#include <type_traits>

#include "trainer/cuda/intrinsics.cuh"
#include "trainer/ops/flash_dims_cuda.cuh"

// Tiles of vectors in shared memory, and their fragments in the registers of warps, for trainer/ops/flash_matrix_cuda.h.
namespace tunesmith::trainer::cuda {

inline constexpr int kFlashWarps = 4;
inline constexpr int kFlashThreads = kFlashWarps * kWarpSize;
inline constexpr float kLog2E = 1.44269504f;
inline constexpr float kLn2 = 0.693147181f;

// A block's tile of queries of a head, and the keys that they see. The last queries see the most keys; their blocks go first, so that blocks end together.
// Heads of a group are neighbours, which share keys in the L2.
template <int kQueries>
struct QueryTile {
  int matrix, row, head;
  int q0, last_query;
  const int32_t* starts;  // of the row
  int first_key;          // that any of the queries sees
  int all_visible_from;   // the keys from here on up to q0 are seen by all of them

  __device__ QueryTile(const FlashDims& d, const int32_t* document_starts) {
    const int matrices = d.rows * d.heads;
    const int block = static_cast<int>(blockIdx.x);
    const int tiles = (d.context + kQueries - 1) / kQueries;
    matrix = block % matrices;
    row = matrix / d.heads;
    head = matrix % d.heads;
    q0 = (tiles - 1 - block / matrices) * kQueries;
    last_query = min(q0 + kQueries, d.context) - 1;
    starts = document_starts + int64_t{row} * d.context;
    // Document starts ascend, so that the first query sees the first key, and the last has the last first.
    first_key = d.FirstVisible(starts[q0], q0);
    all_visible_from = d.FirstVisible(starts[last_query], last_query);
  }

  // Whether some query does not see some of the kKeys keys from k0 on, or does not exist.
  template <int kKeys>
  __device__ bool Hides(int k0) const {
    return k0 < all_visible_from || k0 + kKeys > q0 + 1 || last_query + 1 < q0 + kQueries;
  }
};

// Rows of kHeadSize bf16, in chunks of 16 bytes. Chunks of a row change places, so that the eight rows that a matrix load reads at once, and the
// eight that a warp stores to at once, lie in different banks: with N chunks to a row, rows r and s of the same chunk would meet where
// (r - s) N is a multiple of 8.
template <int kHeadSize>
struct FlashTile {
  static_assert(kHeadSize % 16 == 0);
  static constexpr int kChunks = kHeadSize / 8;
  static constexpr int kBits = kChunks % 8 == 0 ? 3 : kChunks % 4 == 0 ? 2 : 1;

  // In elements.
  __device__ static int At(int row, int chunk) {
    return (row * kChunks + (chunk ^ ((row >> (3 - kBits)) & ((1 << kBits) - 1)))) * 8;
  }
};

// One head's vectors of a row of the batch: token t's begins at data + t * stride.
struct FlashVectors {
  const Bf16* data;
  int64_t stride;
};

__device__ inline FlashVectors VectorsOf(const FlashDims& d, const Bf16* tensor, int64_t stride,
                                         int row, int head) {
  return {tensor + VectorAt(d, stride, row, head, 0), stride};
}

// Starts copying the vectors of tokens [t0, t0 + kRows) to a tile; zeros beyond the context and the head's size. By all threads of the block.
template <int kHeadSize, int kRows>
__device__ void StartTile(const FlashDims& d, const FlashVectors& x, int t0, Bf16* tile) {
  using Tile = FlashTile<kHeadSize>;
  constexpr int kChunks = kRows * Tile::kChunks;
  const Bf16* const source = x.data + t0 * x.stride;
  const int left = d.context - t0;
  const int head_chunks = d.head_size / 8;
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < kChunks; i += kFlashThreads) {
    // Where the threads are whole rows, a thread keeps its chunk, and its rows take the same turn.
    constexpr bool kWholeRows = kFlashThreads % Tile::kChunks == 0;
    const int row =
        kWholeRows ? thread / Tile::kChunks + i / Tile::kChunks : (thread + i) / Tile::kChunks;
    const int chunk = (kWholeRows ? thread : thread + i) % Tile::kChunks;
    const bool exists = row < left && chunk < head_chunks;
    if (kChunks % kFlashThreads != 0 && row >= kRows) break;
    CopyAsync16(tile + Tile::At(row, chunk), exists ? source + row * x.stride + chunk * 8 : x.data,
                exists);
  }
}

// Two stages of tiles of kKeys keys and their values.
template <int kHeadSize, int kKeys>
struct KeyStages {
  static constexpr int kElements = kKeys * kHeadSize;
  FlashVectors k, v;
  Bf16* tiles;

  template <typename Args>
  __device__ KeyStages(const FlashDims& d, const Args& a, int row, int head, Bf16* shared)
      : k(VectorsOf(d, a.k, d.key_stride, row, head / d.group)),
        v(VectorsOf(d, a.v, d.key_stride, row, head / d.group)),
        tiles(shared) {}

  // Starts copying those from k0 on. By all threads of the block.
  __device__ void Start(const FlashDims& d, int k0, int stage) const {
    StartTile<kHeadSize, kKeys>(d, k, k0, tiles + stage * 2 * kElements);
    StartTile<kHeadSize, kKeys>(d, v, k0, tiles + (stage * 2 + 1) * kElements);
  }
  __device__ const Bf16* Keys(int stage) const { return tiles + stage * 2 * kElements; }
  __device__ const Bf16* Values(int stage) const { return Keys(stage) + kElements; }
};

__device__ inline int LaneOfWarp() { return static_cast<int>(threadIdx.x) % kWarpSize; }
__device__ inline int WarpOfBlock() { return static_cast<int>(threadIdx.x) / kWarpSize; }

// A: 16 rows from row0, columns [16 step, 16 step + 16).
template <int kHeadSize>
__device__ void LoadRows(const Bf16* tile, int row0, int step, uint32_t (&a)[4]) {
  const int lane = LaneOfWarp();
  LoadMatrices(tile + FlashTile<kHeadSize>::At(row0 + lane % 16, 2 * step + lane / 16), a);
}

// B of a product with the transpose of the tile: rows [row0, row0 + 16) are columns of two matrices B, the first in b[0] and b[1].
template <int kHeadSize>
__device__ void LoadColumns(const Bf16* tile, int row0, int step, uint32_t (&b)[4]) {
  const int lane = LaneOfWarp();
  LoadMatrices(
      tile + FlashTile<kHeadSize>::At(row0 + lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2), b);
}

// B of a product with the tile: rows [row0, row0 + 16), columns of chunks `chunk` and `chunk` + 1, a matrix B each.
template <int kHeadSize>
__device__ void LoadBlock(const Bf16* tile, int row0, int chunk, uint32_t (&b)[4]) {
  const int lane = LaneOfWarp();
  LoadMatricesTransposed(tile + FlashTile<kHeadSize>::At(row0 + lane % 16, chunk + lane / 16), b);
}

// The values of a warp's 16 x (8 kColumnTiles) matrix C that a lane holds: [column tile][2 * half + i] is row g + 8 half, column 2t + i of the tile.
template <int kColumnTiles>
using FlashFragment = float[kColumnTiles][4];

// The A of 16 rows and 16 columns from C's column tiles 2 step and 2 step + 1, rounded to bf16.
template <int kColumnTiles>
__device__ void RoundToRows(const FlashFragment<kColumnTiles>& c, int step, uint32_t (&a)[4]) {
  a[0] = PackBf16(c[2 * step][0], c[2 * step][1]);
  a[1] = PackBf16(c[2 * step][2], c[2 * step][3]);
  a[2] = PackBf16(c[2 * step + 1][0], c[2 * step + 1][1]);
  a[3] = PackBf16(c[2 * step + 1][2], c[2 * step + 1][3]);
}

// c[m] = rows [row0 + 16m, row0 + 16m + 16) of x times the transpose of y's first 8 kColumnTiles rows.
template <int kHeadSize, int kRowTiles, int kColumnTiles>
__device__ void MultiplyTransposed(const Bf16* x, int row0, const Bf16* y,
                                   FlashFragment<kColumnTiles> (&c)[kRowTiles]) {
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kColumnTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) c[m][n][i] = 0.0f;
    }
  }
#pragma unroll
  for (int step = 0; step < kHeadSize / 16; ++step) {
    uint32_t a[kRowTiles][4];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) LoadRows<kHeadSize>(x, row0 + 16 * m, step, a[m]);
#pragma unroll
    for (int n = 0; n < kColumnTiles; n += 2) {
      uint32_t b[4];
      LoadColumns<kHeadSize>(y, 8 * n, step, b);
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        MultiplyAdd(a[m], b[0], b[1], c[m][n]);
        MultiplyAdd(a[m], b[2], b[3], c[m][n + 1]);
      }
    }
  }
}

// c[m] += s[m] (rounded to bf16) times y's first 8 kInnerTiles rows, columns from chunk0 on.
template <int kHeadSize, int kRowTiles, int kInnerTiles, int kColumnTiles>
__device__ void MultiplyAccumulate(const FlashFragment<kInnerTiles> (&s)[kRowTiles], const Bf16* y,
                                   int chunk0, FlashFragment<kColumnTiles> (&c)[kRowTiles]) {
#pragma unroll
  for (int step = 0; step < kInnerTiles / 2; ++step) {
    uint32_t a[kRowTiles][4];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) RoundToRows<kInnerTiles>(s[m], step, a[m]);
#pragma unroll
    for (int n = 0; n < kColumnTiles; n += 2) {
      uint32_t b[4];
      LoadBlock<kHeadSize>(y, 16 * step, chunk0 + n, b);
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        MultiplyAdd(a[m], b[0], b[1], c[m][n]);
        MultiplyAdd(a[m], b[2], b[3], c[m][n + 1]);
      }
    }
  }
}

// Writes a warp's 16 rows, of which row r is that of token t0 + r, by way of its own rows [row0, row0 + 16) of a tile: other warps neither read nor
// write them. factors: of rows g and g + 8. Tokens beyond the context are left out.
template <int kHeadSize, int kColumnTiles>
__device__ void StoreRows(const FlashDims& d, const FlashFragment<kColumnTiles>& c,
                          const float (&factors)[2], Bf16* tile, int row0, int chunk0, int t0,
                          Bf16* out, int64_t stride) {
  using Tile = FlashTile<kHeadSize>;
  const int lane = LaneOfWarp(), g = lane / 4, t = lane % 4;
  __syncwarp();
#pragma unroll
  for (int n = 0; n < kColumnTiles; ++n) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      auto* const at = tile + Tile::At(row0 + g + 8 * half, chunk0 + n) + 2 * t;
      *reinterpret_cast<uint32_t*>(at) =
          PackBf16(c[n][2 * half] * factors[half], c[n][2 * half + 1] * factors[half]);
    }
  }
  __syncwarp();
#pragma unroll
  for (int i = lane; i < 16 * kColumnTiles; i += kWarpSize) {
    const int row = i / kColumnTiles, chunk = chunk0 + i % kColumnTiles;
    if (t0 + row < d.context && chunk * 8 < d.head_size) {
      *reinterpret_cast<uint4*>(out + (t0 + row) * stride + chunk * 8) =
          *reinterpret_cast<const uint4*>(tile + Tile::At(row0 + row, chunk));
    }
  }
}

// visitor(integral constant) with the least size of heads that kernels are made for and that holds `head_size`.
template <typename Visitor>
auto VisitHeadSize(int64_t head_size, const Visitor& visitor) {
  if (head_size <= 64) return visitor(std::integral_constant<int, 64>());
  if (head_size <= 80) return visitor(std::integral_constant<int, 80>());
  if (head_size <= 96) return visitor(std::integral_constant<int, 96>());
  if (head_size <= 128) return visitor(std::integral_constant<int, 128>());
  if (head_size <= 192) return visitor(std::integral_constant<int, 192>());
  return visitor(std::integral_constant<int, 256>());
}

}  // namespace tunesmith::trainer::cuda
