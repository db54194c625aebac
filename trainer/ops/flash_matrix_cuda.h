#pragma once

#include "absl/status/status.h"
#include "trainer/ops/flash_dims_cuda.cuh"

// Flash attention on the matrix units, in bf16 with f32 sums, put on a stream (Dao 2023, arXiv 2307.08691). Blocks of four warps work on a tile of
// queries, or of keys in their gradients, and go over the tiles that it sees; others cost nothing. A warp owns rows of the tile and keeps scores
// and sums in registers. Sums have a fixed order, those of key/value heads that several heads share too.
namespace tunesmith::trainer::cuda {

// Heads of up to 256 elements, a multiple of 8, with a positive scale, in tensors whose addresses are multiples of 16. The current device's
// blocks must be able to hold the tiles in shared memory: an sm_86 or sm_89 cannot for backward of heads beyond 192.
bool FlashMatrixTakes(const FlashDims& d, const FlashForwardArgs<Bf16>& a);
bool FlashMatrixTakes(const FlashDims& d, const FlashBackwardArgs<Bf16>& a);

// REQUIRES: FlashMatrixTakes.
absl::Status FlashMatrixForward(const FlashDims& d, const FlashForwardArgs<Bf16>& a,
                                cudaStream_t stream);
absl::Status FlashMatrixBackward(const FlashDims& d, const FlashBackwardArgs<Bf16>& a,
                                 cudaStream_t stream);

// The parts of backward, in this order.
absl::Status FlashMatrixDeltas(const FlashDims& d, const FlashBackwardArgs<Bf16>& a,
                               cudaStream_t stream);
absl::Status FlashMatrixQueryGradient(const FlashDims& d, const FlashBackwardArgs<Bf16>& a,
                                      cudaStream_t stream);
absl::Status FlashMatrixKeyGradient(const FlashDims& d, const FlashBackwardArgs<Bf16>& a,
                                    cudaStream_t stream);

// Shared memory of a block, in bytes.
int64_t FlashForwardSharedBytes(int64_t head_size);
int64_t FlashQueryGradientSharedBytes(int64_t head_size);
int64_t FlashKeyGradientSharedBytes(int64_t head_size);

}  // namespace tunesmith::trainer::cuda
