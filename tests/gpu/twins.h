#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/dtype.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/device_memory.h"
#include "trainer/ops/op_call.h"
#include "trainer/ops/op_context.h"
#include "trainer/thread_pool.h"

// Ops on CUDA against the CPU's, which are the oracle: every tensor exists twice, with the same values. Where the device holds bf16 the CPU
// holds the same values in f32, so that the oracle computes with more precision than what is tested.
namespace tunesmith::trainer {

// The device of this process, or why there is none.
const absl::StatusOr<std::unique_ptr<CudaContext>>& TestDevice();

struct Shape {
  int64_t d0 = 1, d1 = 1, d2 = 1;
  int64_t count() const { return d0 * d1 * d2; }
};

// Columns [begin, begin + count) of a matrix.
inline Tensor ColumnsOf(Tensor matrix, int64_t begin, int64_t count) {
  matrix.stride = matrix.row_stride();
  matrix.dims[1] = count;
  matrix.data = matrix.as<std::byte>() + begin * SizeOf(matrix.dtype);
  return matrix;
}

// A tensor on both devices. The device's copy lies between two guards, whose bytes no op may change.
struct Twin {
  std::string name;
  Tensor cpu, cuda;
  int64_t cuda_begin = 0;  // of `cuda` in its memory
  std::unique_ptr<DeviceMemory> cpu_memory, cuda_memory;
};

// Skips, with the reason, where there is no device.
class TwinTest : public ::testing::TestWithParam<DType> {
 protected:
  void SetUp() override;
  // The guards of every tensor are whole.
  void TearDown() override;

  // Whether tensors of the device that are made from now on begin one element after an address at which every pack may begin.
  void Misalign(bool misaligned) { misaligned_ = misaligned; }

  // T: the dtype under test.
  DType T() const { return GetParam(); }
  // Of T, or of f32: what gradients may be.
  std::vector<DType> AccumulatorTypes() const;

  // Values of a normal distribution, rounded to dtype.
  Twin& Random(const std::string& name, Shape shape, DType dtype, double deviation = 1.0);
  // The given values, rounded to dtype (a float type).
  Twin& Values(const std::string& name, Shape shape, DType dtype, const std::vector<float>& values);
  Twin& Doubles(const std::string& name, const std::vector<double>& values);
  Twin& Integers(const std::string& name, Shape shape, const std::vector<int32_t>& values);
  // The same in both memories, with no rounding: 64-bit keys, and 8-bit codes of moments.
  Twin& Keys(const std::string& name, const std::vector<uint64_t>& values);
  Twin& Codes(const std::string& name, Shape shape, const std::vector<uint8_t>& values);
  // Every byte 0xff, a NaN in every float type: an element that an op leaves unwritten shows.
  Twin& Poisoned(const std::string& name, Shape shape, DType dtype);

  std::vector<int32_t> RandomIntegers(int64_t count, int32_t low, int32_t high);

  // Runs op(context, pick) on both devices, where pick(twin) is the tensor of the context's device, and waits.
  template <typename Op>
  void RunBoth(const Op& op) {
    const absl::Status on_cpu = op(cpu_, [](const Twin& twin) { return twin.cpu; });
    ASSERT_TRUE(on_cpu.ok()) << "cpu: " << on_cpu;
    const absl::Status on_cuda = op(cuda_, [](const Twin& twin) { return twin.cuda; });
    ASSERT_TRUE(on_cuda.ok()) << "cuda: " << on_cuda;
    const absl::Status finished = cuda_.cuda->Synchronize();
    ASSERT_TRUE(finished.ok()) << "cuda: " << finished;
  }

  // ||cuda - cpu|| <= tolerance * ||cpu||, and no NaN where the CPU has none. For float tensors; f64 too.
  void ExpectClose(const Twin& twin, double tolerance);
  // Every element equal: integers, and floats that are moved but not computed.
  void ExpectEqual(const Twin& twin);

  // Every element of the device's copies equal.
  void ExpectSameOnDevice(const Twin& expected, const Twin& actual);

  // Of an output of `dtype` that came by `roundings` roundings to bf16 (if bf16 is involved at all) and sums of `terms` random terms in f32
  // on both sides. The unit roundoffs are 2^-9 and 2^-24; the factors leave a margin of about four.
  double Tolerance(DType dtype, double roundings, double terms) const;

  const OpContext& cuda_context() const { return cuda_; }

 private:
  Twin& Allocate(const std::string& name, Shape shape, DType cpu_dtype, DType cuda_dtype);
  std::vector<double> Download(const Twin& twin, bool from_cuda);

  bool misaligned_ = false;
  std::mt19937_64 random_{20240611};
  std::unique_ptr<ThreadPool> threads_;
  OpContext cpu_, cuda_;
  std::deque<Twin> twins_;
};

std::string DTypeTestName(const ::testing::TestParamInfo<DType>& info);

// Instantiates a suite for the dtypes that CUDA computes in.
#define INSTANTIATE_FOR_CUDA_DTYPES(Suite)                                              \
  INSTANTIATE_TEST_SUITE_P(DTypes, Suite, ::testing::Values(DType::kF32, DType::kBF16), \
                           DTypeTestName)

}  // namespace tunesmith::trainer
