#pragma once

#include <cstdint>

#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/flash_attention.h"
#include "trainer/ops/score_change.cuh"

// What the CUDA kernels of flash attention are told. Letters: trainer/dims.h.
namespace tunesmith::trainer::cuda {

struct FlashDims {
  int rows, context, heads, kv_heads, group, head_size;
  int window;  // 0: none
  // Elements from a token to the next: of q and dq; of k, v, dk and dv; of o and d_o.
  int64_t query_stride, key_stride, output_stride;
  float scale;
  ScoreChange change;

  __host__ __device__ int64_t query_count() const { return int64_t{rows} * heads * context; }
  __host__ __device__ int64_t key_count() const { return int64_t{rows} * kv_heads * context; }
  __device__ bool changes_scores() const {
    return change.soft_cap > 0.0f || change.alibi_factor != 0.0f;
  }

  // The first key that query t of a row sees, given where its document starts.
  __device__ int FirstVisible(int start, int t) const {
    return window > 0 && t - start >= window ? t - window + 1 : start;
  }
};

// Where a head's vector of a token starts in a tensor with tokens so far apart.
__device__ inline int64_t VectorAt(const FlashDims& d, int64_t stride, int64_t row, int64_t head,
                                   int64_t t) {
  return (row * d.context + t) * stride + head * d.head_size;
}

template <typename T>
struct FlashForwardArgs {
  const T *q, *k, *v;
  const int32_t* document_starts;
  T* o;
  float* log_sum_exp;
};

template <typename T>
struct FlashBackwardArgs {
  const T *d_o, *q, *k, *v, *o;
  const float* log_sum_exp;
  const int32_t* document_starts;
  T *dq, *dk, *dv;
  float* deltas;  // (B * H, T): the product of d_o and o
};

}  // namespace tunesmith::trainer::cuda
