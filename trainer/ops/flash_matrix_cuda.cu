#include <algorithm>
#include <initializer_list>
#include <numeric>

#include "common/status_macros.h"
#include "trainer/ops/flash_matrix_cuda.h"

namespace tunesmith::trainer::cuda {
namespace {

constexpr int64_t kMaxHeadSize = 256;

// What a block of the current device may have; 0 where it is not known.
int64_t SharedBytesOfDevice() {
  int device = 0, bytes = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return 0;
  if (cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) !=
      cudaSuccess)
    return 0;
  return bytes;
}

bool Takes(const FlashDims& d, int64_t shared_bytes, std::initializer_list<const void*> addresses) {
  const int64_t step = std::gcd(std::gcd(d.query_stride, d.key_stride), int64_t{d.head_size});
  return d.head_size <= kMaxHeadSize && d.scale > 0.0f && CanPack<Bf16, 8>(step, addresses) &&
         shared_bytes <= SharedBytesOfDevice();
}

}  // namespace

bool FlashMatrixTakes(const FlashDims& d, const FlashForwardArgs<Bf16>& a) {
  return Takes(d, FlashForwardSharedBytes(d.head_size), {a.q, a.k, a.v, a.o});
}

bool FlashMatrixTakes(const FlashDims& d, const FlashBackwardArgs<Bf16>& a) {
  const int64_t shared_bytes = std::max(FlashQueryGradientSharedBytes(d.head_size),
                                        FlashKeyGradientSharedBytes(d.head_size));
  return Takes(d, shared_bytes, {a.d_o, a.q, a.k, a.v, a.o, a.dq, a.dk, a.dv});
}

absl::Status FlashMatrixBackward(const FlashDims& d, const FlashBackwardArgs<Bf16>& a,
                                 cudaStream_t stream) {
  TUNESMITH_RETURN_IF_ERROR(FlashMatrixDeltas(d, a, stream));
  TUNESMITH_RETURN_IF_ERROR(FlashMatrixQueryGradient(d, a, stream));
  return FlashMatrixKeyGradient(d, a, stream);
}

}  // namespace tunesmith::trainer::cuda
