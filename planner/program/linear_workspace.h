#pragma once

#include <algorithm>
#include <cstdint>

#include "common/units.h"

// Scratch of the CPU's matrix products where an operand or the result is bf16, for the planner that reserves it and the kernel that uses
// it: tiles of the operands widened to f32, and a tile of the result before it is rounded. Each worker of the thread pool uses its own part;
// a kernel that is given less runs on fewer workers, and gives the same results.
namespace tunesmith::planner {

// Workers that the program reserves scratch for; kernels on machines with more cores use no more.
inline constexpr int64_t kLinearWorkerCount = 16;

// C (m, n) = A (m, k) B (k, n) is computed in tiles of so many rows and columns, each over slices of k. An element of A is widened n / columns
// times and one of B m / rows times, so widening costs a share of 1 / rows + 1 / columns of the arithmetic: large tiles, but enough of them
// for several threads. Sizes depend on the product alone, never on the number of threads.
struct LinearTile {
  int64_t rows = 1;
  int64_t columns = 1;
  int64_t depth = 1;

  constexpr int64_t WorkerElements() const {
    return rows * depth + depth * columns + rows * columns;
  }
};

inline constexpr int64_t kLinearTileSize = 512;   // rows and columns, at most
inline constexpr int64_t kLinearTileDepth = 256;  // at most
// Enough for one worker, whatever the product.
inline constexpr int64_t kLinearWorkerElements =
    LinearTile{kLinearTileSize, kLinearTileSize, kLinearTileDepth}.WorkerElements();

namespace internal {

// The size of equal parts of at most `limit`, in steps of 16: whole vectors.
constexpr int64_t EvenPart(int64_t size, int64_t limit) {
  const int64_t parts = std::max<int64_t>(1, CeilDivide(size, limit));
  return std::max<int64_t>(16, AlignUp(CeilDivide(size, parts), 16));
}

}  // namespace internal

constexpr LinearTile LinearTileOf(int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kSmallest = 64, kEnoughTiles = 6;
  int64_t row_limit = kLinearTileSize, column_limit = kLinearTileSize;
  LinearTile tile;
  while (true) {
    tile.rows = internal::EvenPart(m, row_limit);
    tile.columns = internal::EvenPart(n, column_limit);
    if (CeilDivide(m, tile.rows) * CeilDivide(n, tile.columns) >= kEnoughTiles) break;
    if (column_limit > kSmallest && (tile.columns >= tile.rows || row_limit == kSmallest)) {
      column_limit /= 2;
    } else if (row_limit > kSmallest) {
      row_limit /= 2;
    } else {
      break;
    }
  }
  tile.depth = internal::EvenPart(k, kLinearTileDepth);
  return tile;
}

}  // namespace tunesmith::planner
