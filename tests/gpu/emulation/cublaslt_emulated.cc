#include "tests/gpu/emulation/cublaslt_emulated.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "common/dtype.h"
#include "tests/gpu/emulation/streams.h"
#include "trainer/cuda/cublaslt.h"

// In place of trainer/cuda/cublaslt.cc: the library is always there and computes products of column-major matrices by a loop, as what descriptors and layouts say.
// Like cublasLt it takes no strides that are no multiple of 16 bytes: the project's own kernel computes those. Its objects are allocated, so that LeakSanitizer sees what is not
// destroyed.
struct cublasLtContext {};
struct EmulatedProduct {
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};
struct EmulatedLayout {
  cudaDataType_t type;
  int64_t rows, columns, stride;
  int32_t batch_count = 1;
  int64_t batch_stride = 0;
};
struct EmulatedPreference {
  uint32_t reduction_schemes = CUBLASLT_REDUCTION_SCHEME_MASK;
};

namespace tunesmith::emulation {

EmulatedAlgorithms& Algorithms() {
  static EmulatedAlgorithms algorithms;
  return algorithms;
}

namespace {

constexpr int64_t kStrideBytes = 16;

template <typename T>
cublasStatus_t Unmake(T* object) {
  delete object;
  return CUBLAS_STATUS_SUCCESS;
}

template <typename T>
cublasStatus_t Store(T& field, const void* value, size_t bytes) {
  if (bytes != sizeof field) return CUBLAS_STATUS_NOT_SUPPORTED;
  std::memcpy(&field, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

int64_t BytesOf(cudaDataType_t type) { return type == CUDA_R_16BF ? 2 : 4; }

float Load(const void* data, cudaDataType_t type, int64_t at) {
  if (type == CUDA_R_16BF) return FloatFromBf16(static_cast<const uint16_t*>(data)[at]);
  return static_cast<const float*>(data)[at];
}

void Keep(void* data, cudaDataType_t type, int64_t at, float value) {
  if (type == CUDA_R_16BF) {
    static_cast<uint16_t*>(data)[at] = Bf16FromFloat(value);
  } else {
    static_cast<float*>(data)[at] = value;
  }
}

// All that a product needs when its turn comes, by value.
struct Task {
  EmulatedProduct product;
  EmulatedLayout a_layout, b_layout, c_layout, d_layout;
  const void *a, *b, *c;
  void* d;
  float alpha, beta;
  int algorithm;

  int64_t depth() const {
    return product.transpose_a == CUBLAS_OP_N ? a_layout.columns : a_layout.rows;
  }

  // op(matrix) of one of the batch as (rows, columns), row by row, as floats.
  static std::vector<float> Unpack(const void* data, const EmulatedLayout& layout, bool transposed,
                                   int64_t batch) {
    std::vector<float> values(static_cast<size_t>(layout.rows * layout.columns));
    for (int64_t column = 0; column < layout.columns; ++column) {
      for (int64_t row = 0; row < layout.rows; ++row) {
        const int64_t to = transposed ? column * layout.rows + row : row * layout.columns + column;
        values[static_cast<size_t>(to)] =
            Load(data, layout.type, batch * layout.batch_stride + column * layout.stride + row);
      }
    }
    return values;
  }

  void Run() const {
    EmulatedAlgorithms& algorithms = Algorithms();
    const bool is_loaded = algorithms.run_counts[algorithm]++ > 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(
        algorithms.delays_ms[algorithm] + (is_loaded ? 0 : algorithms.load_ms[algorithm])));
    for (int64_t batch = 0; batch < d_layout.batch_count; ++batch) RunOne(batch);
  }

  void RunOne(int64_t batch) const {
    const int64_t depth = this->depth();
    const std::vector<float> left = Unpack(a, a_layout, product.transpose_a == CUBLAS_OP_T, batch);
    // Its rows are columns of op(b).
    const std::vector<float> right = Unpack(b, b_layout, product.transpose_b == CUBLAS_OP_N, batch);
    for (int64_t column = 0; column < d_layout.columns; ++column) {
      for (int64_t row = 0; row < d_layout.rows; ++row) {
        const float* const x = left.data() + row * depth;
        const float* const y = right.data() + column * depth;
        float sum = 0;
        for (int64_t k = 0; k < depth; ++k) sum += x[k] * y[k];
        float value = alpha * sum;
        if (beta != 0)
          value += beta * Load(c, c_layout.type,
                               batch * c_layout.batch_stride + column * c_layout.stride + row);
        if (product.epilogue == CUBLASLT_EPILOGUE_BIAS)
          value += Load(product.bias, d_layout.type, row);
        Keep(d, d_layout.type, batch * d_layout.batch_stride + column * d_layout.stride + row,
             value);
      }
    }
  }
};

// What the heuristic takes from a bias's address: an algorithm may read so many bytes at once.
uint64_t AlignmentOf(const void* bias) {
  constexpr uint64_t kMost = 16;
  const uint64_t bits = reinterpret_cast<uintptr_t>(bias) | kMost;
  return bits & -bits;
}

bool Takes(const EmulatedLayout& layout) {
  return layout.stride * BytesOf(layout.type) % kStrideBytes == 0 &&
         layout.batch_stride * BytesOf(layout.type) % kStrideBytes == 0;
}

}  // namespace
}  // namespace tunesmith::emulation

using tunesmith::emulation::Algorithms;
using tunesmith::emulation::Store;
using tunesmith::emulation::Unmake;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return Unmake(handle); }
size_t cublasLtGetVersion() { return 0; }
const char* cublasLtGetStatusString(cublasStatus_t) { return "the emulation does not take it"; }
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void*, size_t,
                              cudaStream_t stream) {
  const auto index = static_cast<int>(algorithm->data[0]);
  if (index >= Algorithms().count || Algorithms().delays_ms[index] < 0 ||
      tunesmith::emulation::AlignmentOf(desc->bias) < algorithm->data[1])
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const tunesmith::emulation::Task task = {.product = *desc,
                                           .a_layout = *a_layout,
                                           .b_layout = *b_layout,
                                           .c_layout = *c_layout,
                                           .d_layout = *d_layout,
                                           .a = a,
                                           .b = b,
                                           .c = c,
                                           .d = d,
                                           .alpha = *static_cast<const float*>(alpha),
                                           .beta = *static_cast<const float*>(beta),
                                           .algorithm = index};
  tunesmith::emulation::PutTask(stream, [task] { task.Run(); });
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* found) {
  *found = 0;
  Algorithms().reduction_schemes = preference->reduction_schemes;
  for (const cublasLtMatrixLayout_t layout : {a, b, c, d}) {
    if (!tunesmith::emulation::Takes(*layout)) return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  *found = std::min(requested, Algorithms().count);
  for (int i = 0; i < *found; ++i)
    results[i] = {
        .algo = {{static_cast<uint64_t>(i), tunesmith::emulation::AlignmentOf(desc->bias)}},
        .state = CUBLAS_STATUS_SUCCESS};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t,
                                        cudaDataType_t) {
  *desc = new EmulatedProduct;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) { return Unmake(desc); }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return Store(desc->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return Store(desc->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return Store(desc->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return Store(desc->bias, value, bytes);
  }
  return CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type,
                                          uint64_t rows, uint64_t columns, int64_t stride) {
  *layout = new EmulatedLayout{.type = type,
                               .rows = static_cast<int64_t>(rows),
                               .columns = static_cast<int64_t>(columns),
                               .stride = stride};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) { return Unmake(layout); }
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void* value, size_t bytes) {
  if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT)
    return Store(layout->batch_count, value, bytes);
  return Store(layout->batch_stride, value, bytes);
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new EmulatedPreference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return Unmake(preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
    return Store(preference->reduction_schemes, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

namespace tunesmith::trainer {

absl::StatusOr<const CublasLt*> LoadCublasLt() {
  static const CublasLt lt = {
      .create = cublasLtCreate,
      .destroy = cublasLtDestroy,
      .version = cublasLtGetVersion,
      .status_string = cublasLtGetStatusString,
      .matmul = cublasLtMatmul,
      .get_heuristic = cublasLtMatmulAlgoGetHeuristic,
      .desc_create = cublasLtMatmulDescCreate,
      .desc_destroy = cublasLtMatmulDescDestroy,
      .desc_set = cublasLtMatmulDescSetAttribute,
      .layout_create = cublasLtMatrixLayoutCreate,
      .layout_destroy = cublasLtMatrixLayoutDestroy,
      .layout_set = cublasLtMatrixLayoutSetAttribute,
      .preference_create = cublasLtMatmulPreferenceCreate,
      .preference_destroy = cublasLtMatmulPreferenceDestroy,
      .preference_set = cublasLtMatmulPreferenceSetAttribute,
  };
  return &lt;
}

absl::Status CublasLtStatus(const CublasLt& lt, cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  return absl::InternalError(std::string(call) + ": " + lt.status_string(status));
}

}  // namespace tunesmith::trainer
