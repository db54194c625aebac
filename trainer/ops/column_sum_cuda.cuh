#pragma once

#include <algorithm>

#include "common/status_macros.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"

// out[c] (+)= sum over rows of value(row, c), in two stages with a fixed order: chunks of rows into the context's scratch memory (f32), then the chunks. A Value
// is an object of the device with
//   static constexpr int kPack;                                      columns that are loaded at once
//   static constexpr int kLoads;                                     rows that a thread loads before it adds the first: 4 blocks a multiprocessor have registers for
//   Operands Load(int64_t row, int64_t pack) const;                 what columns [kPack * pack, kPack * (pack + 1)) of a row need
//   void Add(const Operands& operands, float (&sums)[kPack]) const;  the values of those columns
namespace tunesmith::trainer::cuda {

// Blocks of the first stage: what fills a large GPU twice, and keeps the second stage's bytes few. Of the shape alone, so that the order of additions is.
inline constexpr int64_t kColumnSumBlocks = 1024;
inline constexpr int64_t kMaxColumnSumChunks = 128;

// A block's threads: lanes across the packs of a row, 128 bytes of it where packs are of 16, and the others across rows.
template <int kPack>
struct ColumnSumTile {
  static constexpr int kLanes = kPack == 1 ? kWarpSize : 8;
  static constexpr int kRows = kBlockSize / kLanes;
  static constexpr int kColumns = kLanes * kPack;
  float sums[kRows][kColumns];
};

// This thread's sums over its rows of [begin, end).
template <typename Value>
__device__ void SumRowsOfThread(int64_t begin, int64_t end, int64_t pack, const Value& value,
                                float (&sums)[Value::kPack]) {
  constexpr int kStep = ColumnSumTile<Value::kPack>::kRows;
  for (int64_t row = begin + threadIdx.y; row < end; row += Value::kLoads * kStep) {
    typename Value::Operands operands[Value::kLoads];
#pragma unroll
    for (int l = 0; l < Value::kLoads; ++l) {
      if (row + l * kStep < end) operands[l] = value.Load(row + l * kStep, pack);
    }
#pragma unroll
    for (int l = 0; l < Value::kLoads; ++l) {
      if (row + l * kStep >= end) break;
      value.Add(operands[l], sums);
    }
  }
}

template <typename Value>
__global__ void __launch_bounds__(kBlockSize, 4)
    ColumnSumChunkKernel(int64_t rows, int64_t packs, int64_t rows_per_chunk, Value value,
                         float* partials) {
  constexpr int kPack = Value::kPack;
  using Tile = ColumnSumTile<kPack>;
  auto& tile = Shared<Tile>().sums;
  const int64_t pack = static_cast<int64_t>(blockIdx.x) * Tile::kLanes + threadIdx.x;
  const int64_t begin = blockIdx.y * rows_per_chunk;
  float sums[kPack] = {};
  if (pack < packs) SumRowsOfThread(begin, min(begin + rows_per_chunk, rows), pack, value, sums);
  for (int j = 0; j < kPack; ++j) tile[threadIdx.y][threadIdx.x * kPack + j] = sums[j];
  __syncthreads();
  const int mine = threadIdx.y * Tile::kLanes + threadIdx.x;
  const int64_t columns = packs * kPack;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * Tile::kColumns + mine;
  if (mine >= Tile::kColumns || column >= columns) return;
  float sum = 0.0f;
  for (int row = 0; row < Tile::kRows; ++row) sum += tile[row][mine];
  partials[blockIdx.y * columns + column] = sum;
}

struct ChunkSums {
  float sums[kMaxWarpCount][kWarpSize];
};

// A warp across columns for every 32nd chunk, so that a thread waits for few loads.
template <typename A>
__global__ void ColumnSumFinishKernel(int64_t columns, int64_t chunk_count, const float* partials,
                                      bool accumulate, A* out) {
  auto& chunks = Shared<ChunkSums>().sums;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kWarpSize + threadIdx.x;
  float sum = 0.0f;
  if (column < columns) {
#pragma unroll 4
    for (int64_t chunk = threadIdx.y; chunk < chunk_count; chunk += kMaxWarpCount)
      sum += partials[chunk * columns + column];
  }
  chunks[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  sum = accumulate ? ToFloat(out[column]) : 0.0f;
  for (int i = 0; i < kMaxWarpCount; ++i) sum += chunks[i][threadIdx.x];
  out[column] = FromFloat<A>(sum);
}

// `columns` is a multiple of the pack.
template <typename A, typename Value>
absl::Status ColumnSums(CudaContext& cuda, int64_t rows, int64_t columns, const Value& value,
                        bool accumulate, A* out) {
  using Tile = ColumnSumTile<Value::kPack>;
  if (columns == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  const unsigned int tiles = BlockCount(columns, Tile::kColumns);
  const int64_t most_chunks = std::clamp<int64_t>(kColumnSumBlocks / tiles, 1, kMaxColumnSumChunks);
  const int64_t rows_per_chunk =
      std::max<int64_t>(Tile::kRows, (rows + most_chunks - 1) / most_chunks);
  const int64_t chunk_count = (rows + rows_per_chunk - 1) / rows_per_chunk;
  TUNESMITH_ASSIGN_OR_RETURN(float* const partials, ScratchFor<float>(cuda, chunk_count * columns));
  if (chunk_count > 0) {
    const dim3 grid(tiles, static_cast<unsigned int>(chunk_count));
    TUNESMITH_RETURN_IF_ERROR(
        LaunchKernel(ColumnSumChunkKernel<Value>, {grid, dim3(Tile::kLanes, Tile::kRows)}, stream,
                     rows, columns / Value::kPack, rows_per_chunk, value, partials));
  }
  return LaunchKernel(ColumnSumFinishKernel<A>,
                      {BlockCount(columns, kWarpSize), dim3(kWarpSize, kMaxWarpCount)}, stream,
                      columns, chunk_count, partials, accumulate, out);
}

}  // namespace tunesmith::trainer::cuda
