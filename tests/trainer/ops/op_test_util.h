#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"
#include "trainer/ops/storage.h"
#include "trainer/thread_pool.h"

// What the tests of ops share: tensors that own their elements, contexts, and checks of gradients
// by central differences.
namespace tunesmith::trainer {

template <typename T>
constexpr DType DTypeOf() {
  if constexpr (std::is_same_v<T, double>) return DType::kF64;
  if constexpr (std::is_same_v<T, float>) return DType::kF32;
  if constexpr (std::is_same_v<T, int32_t>) return DType::kI32;
  if constexpr (std::is_same_v<T, uint16_t>) return DType::kBF16;
  if constexpr (std::is_same_v<T, uint8_t>) return DType::kU8;
  if constexpr (std::is_same_v<T, uint64_t>) return DType::kU64;
  if constexpr (std::is_same_v<T, cpu::Bf16>) return DType::kBF16;
}

// A row-major tensor in host memory.
template <typename T>
struct HostTensor {
  std::vector<int64_t> dims;
  std::vector<T> values;

  explicit HostTensor(std::vector<int64_t> dimensions, T value = T{})
      : dims(std::move(dimensions)) {
    int64_t count = 1;
    for (int64_t dim : dims) count *= dim;
    values.assign(count, value);
  }

  Tensor tensor(DType dtype = DTypeOf<T>()) {
    Tensor view = {.data = values.data(), .dtype = dtype, .rank = static_cast<int>(dims.size())};
    for (size_t i = 0; i < dims.size(); ++i) view.dims[i] = dims[i];
    return view;
  }
  operator Tensor() { return tensor(); }  // NOLINT: reads well in argument lists
  int64_t size() const { return static_cast<int64_t>(values.size()); }
  T& operator[](int64_t i) { return values[i]; }
  const T& operator[](int64_t i) const { return values[i]; }
};

// Columns [begin, begin + count) of a matrix.
template <typename T>
Tensor ColumnsOf(HostTensor<T>& matrix, int64_t begin, int64_t count) {
  Tensor columns = matrix;
  columns.data = matrix.values.data() + begin;
  columns.dims[1] = count;
  columns.stride = matrix.dims[1];
  return columns;
}

// Matrices of equally many rows, side by side.
template <typename T>
HostTensor<T> SideBySide(const std::vector<const HostTensor<T>*>& matrices) {
  int64_t width = 0;
  for (const auto* matrix : matrices) width += matrix->dims[1];
  HostTensor<T> all({matrices[0]->dims[0], width});
  int64_t begin = 0;
  for (const auto* matrix : matrices) {
    const int64_t columns = matrix->dims[1];
    for (int64_t i = 0; i < matrix->dims[0]; ++i)
      std::copy_n(matrix->values.begin() + i * columns, columns,
                  all.values.begin() + i * width + begin);
    begin += columns;
  }
  return all;
}

// Normally distributed elements that depend on the seed alone.
template <typename T>
HostTensor<T> RandomTensor(std::vector<int64_t> dims, uint32_t seed, double deviation = 1.0) {
  HostTensor<T> tensor(std::move(dims));
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0.0, deviation);
  for (T& value : tensor.values) value = static_cast<T>(normal(generator));
  return tensor;
}

inline HostTensor<int32_t> IntTensor(std::vector<int32_t> values) {
  HostTensor<int32_t> tensor({static_cast<int64_t>(values.size())});
  tensor.values = std::move(values);
  return tensor;
}

// The same numbers in another type.
template <typename To, typename From>
HostTensor<To> ConvertTensor(const HostTensor<From>& from) {
  HostTensor<To> to(from.dims);
  for (int64_t i = 0; i < from.size(); ++i) to[i] = static_cast<To>(from[i]);
  return to;
}

// A CPU context with its own threads.
class CpuContext {
 public:
  explicit CpuContext(int thread_count = 2) : threads_(thread_count) {}
  operator OpContext() { return {.threads = &threads_}; }  // NOLINT

 private:
  ThreadPool threads_;
};

// |a - b| <= tolerance * (1 + |b|), element by element; names the first that is not.
template <typename A, typename B>
void ExpectClose(const HostTensor<A>& actual, const HostTensor<B>& expected, double tolerance,
                 const std::string& what = "") {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (int64_t i = 0; i < actual.size(); ++i) {
    const double a = static_cast<double>(actual[i]), e = static_cast<double>(expected[i]);
    ASSERT_LE(std::abs(a - e), tolerance * (1 + std::abs(e)))
        << what << "[" << i << "] is " << a << ", expected " << e;
  }
}

// Sum of weights * outputs: a scalar whose gradient with respect to the outputs is `weights`.
inline double Weigh(const HostTensor<double>& weights, const HostTensor<double>& outputs) {
  double sum = 0;
  for (int64_t i = 0; i < outputs.size(); ++i) sum += weights[i] * outputs[i];
  return sum;
}

// Compares `gradient` with central differences of `loss` by each element of `input`, which `loss`
// must read. With a step of 1e-5 the differences of an f64 function of order one carry an error
// near 1e-10.
inline void GradientCheck(HostTensor<double>& input, const HostTensor<double>& gradient,
                          const std::function<double()>& loss, const std::string& what,
                          double tolerance = 1e-7) {
  constexpr double kStep = 1e-5;
  ASSERT_EQ(input.size(), gradient.size()) << what;
  for (int64_t i = 0; i < input.size(); ++i) {
    const double value = input[i];
    input[i] = value + kStep;
    const double above = loss();
    input[i] = value - kStep;
    const double below = loss();
    input[i] = value;
    const double difference = (above - below) / (2 * kStep);
    ASSERT_LE(std::abs(gradient[i] - difference), tolerance * (1 + std::abs(difference)))
        << what << "[" << i << "] is " << gradient[i] << ", central differences give "
        << difference;
  }
}

// Runs `op`, which returns its outputs, with several numbers of threads: all must give the same
// bits.
template <typename T>
void ExpectSameForAnyThreadCount(const std::function<std::vector<T>(const OpContext&)>& op) {
  CpuContext one(1);
  const std::vector<T> expected = op(one);
  for (int thread_count : {2, 3, 7}) {
    CpuContext context(thread_count);
    const std::vector<T> actual = op(context);
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      ASSERT_EQ(actual[i], expected[i]) << thread_count << " threads, element " << i;
    }
  }
}

// INVALID_ARGUMENT whose message holds `text`.
inline void ExpectInvalid(const absl::Status& status, const std::string& text) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(text));
}

#define EXPECT_OK(expression)             \
  do {                                    \
    const absl::Status ok = (expression); \
    EXPECT_TRUE(ok.ok()) << ok;           \
  } while (false)

}  // namespace tunesmith::trainer
