#pragma once

#include <algorithm>

#include "common/status_macros.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"

// out[c] (+)= sum over rows of value(row, c), in two stages with a fixed order: chunks of rows into
// the context's scratch memory (f32), then the chunks.
namespace tunesmith::trainer::cuda {

inline constexpr int kColumnSumLanes = 8;  // rows that a block reads at once, 32 columns wide
inline constexpr int64_t kMaxColumnSumChunks = 128;

struct ColumnSumLanes {
  float sums[kColumnSumLanes][kWarpSize];
};

template <typename Value>
__global__ void ColumnSumChunkKernel(int64_t rows, int64_t columns, int64_t rows_per_chunk,
                                     Value value, float* partials) {
  auto& lanes = Shared<ColumnSumLanes>().sums;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kWarpSize + threadIdx.x;
  const int64_t begin = blockIdx.y * rows_per_chunk;
  const int64_t end = begin + rows_per_chunk < rows ? begin + rows_per_chunk : rows;
  float sum = 0.0f;
  if (column < columns) {
    for (int64_t row = begin + threadIdx.y; row < end; row += kColumnSumLanes)
      sum += value(row, column);
  }
  lanes[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  for (int lane = 1; lane < kColumnSumLanes; ++lane) sum += lanes[lane][threadIdx.x];
  partials[blockIdx.y * columns + column] = sum;
}

template <typename A>
__global__ void ColumnSumFinishKernel(int64_t columns, int64_t chunk_count, const float* partials,
                                      bool accumulate, A* out) {
  const int64_t column = GlobalThread();
  if (column >= columns) return;
  float sum = accumulate ? ToFloat(out[column]) : 0.0f;
  for (int64_t chunk = 0; chunk < chunk_count; ++chunk) sum += partials[chunk * columns + column];
  out[column] = FromFloat<A>(sum);
}

// `value` is a functor of the device: float operator()(int64_t row, int64_t column) const.
template <typename A, typename Value>
absl::Status ColumnSums(CudaContext& cuda, int64_t rows, int64_t columns, const Value& value,
                        bool accumulate, A* out) {
  if (columns == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda.impl().stream.get();
  const int64_t rows_per_chunk =
      std::max<int64_t>(kColumnSumLanes, (rows + kMaxColumnSumChunks - 1) / kMaxColumnSumChunks);
  const int64_t chunk_count = (rows + rows_per_chunk - 1) / rows_per_chunk;
  TUNESMITH_ASSIGN_OR_RETURN(float* const partials, ScratchFor<float>(cuda, chunk_count * columns));
  if (chunk_count > 0) {
    const dim3 grid(BlockCount(columns, kWarpSize), static_cast<unsigned int>(chunk_count));
    TUNESMITH_RETURN_IF_ERROR(LaunchKernel(ColumnSumChunkKernel<Value>,
                                           {grid, dim3(kWarpSize, kColumnSumLanes)}, stream, rows,
                                           columns, rows_per_chunk, value, partials));
  }
  return LaunchKernel(ColumnSumFinishKernel<A>, {BlockCount(columns)}, stream, columns, chunk_count,
                      partials, accumulate, out);
}

}  // namespace tunesmith::trainer::cuda
