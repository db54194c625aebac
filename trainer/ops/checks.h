#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "absl/status/status.h"
#include "common/dtype.h"
#include "planner/program/op.h"
#include "trainer/ops/op_call.h"

// The checks that every op shares: shapes, dtypes and the presence of storage, with one wording for
// their errors.
namespace tunesmith::trainer {

// A set of dtypes.
class DTypeSet {
 public:
  constexpr DTypeSet(DType dtype) : bits_(1u << static_cast<int>(dtype)) {}  // NOLINT: one is a set
  constexpr DTypeSet operator|(DTypeSet other) const { return DTypeSet(bits_ | other.bits_); }
  constexpr bool Contains(DType dtype) const {
    return (bits_ >> static_cast<int>(dtype) & 1u) != 0;
  }

 private:
  constexpr explicit DTypeSet(uint32_t bits) : bits_(bits) {}
  uint32_t bits_;
};

// What T can be, and S and A for a given T (trainer/dims.h).
inline constexpr DTypeSet kComputeDTypes = DTypeSet(DType::kF32) | DType::kF64 | DType::kBF16;
inline constexpr DTypeSet kScalarDTypes = DTypeSet(DType::kF32) | DType::kF64;
constexpr DType StatisticsDType(DType compute) {
  return compute == DType::kF64 ? DType::kF64 : DType::kF32;
}
constexpr DTypeSet AccumulatorDTypes(DType compute) {
  return compute == DType::kF64 ? DTypeSet(DType::kF64) : DTypeSet(DType::kBF16) | DType::kF32;
}

// Dims that are absent are 1, as in Tensor.
struct Dims {
  int64_t d0 = 1;
  int64_t d1 = 1;
  int64_t d2 = 1;
};
inline Dims DimsOf(const Tensor& tensor) {
  return {tensor.dims[0], tensor.dims[1], tensor.dims[2]};
}

// What a tensor has to be.
struct TensorRule {
  std::string_view name;
  const Tensor& tensor;
  Dims dims;
  DTypeSet dtypes;
  bool may_be_columns = false;  // of a wider matrix (Tensor::stride)
};

// INVALID_ARGUMENT for the first tensor that breaks its rule: "rms_norm: weight is (577) f32,
// expected (576) f32".
absl::Status CheckTensors(planner::OpKind op, std::initializer_list<TensorRule> rules);

// INVALID_ARGUMENT "rope: <message>" unless `holds`.
absl::Status CheckThat(planner::OpKind op, bool holds, std::string_view message);

}  // namespace tunesmith::trainer
