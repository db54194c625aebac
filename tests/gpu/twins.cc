#include "tests/gpu/twins.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "common/units.h"
#include "tests/gpu/guards.h"

namespace tunesmith::trainer {
namespace {

constexpr int64_t kGuardBytes = 256;
constexpr uint8_t kGuard = 0xa5;
// Little, so that ops that cut their work to fit do so at sizes that the CPU computes at once.
constexpr int64_t kScratchBytes = 256 * kKiB;

int64_t BytesOf(const Tensor& tensor) { return tensor.element_count() * SizeOf(tensor.dtype); }

Tensor MakeTensor(void* data, DType dtype, Shape shape) {
  const int rank = shape.d2 != 1 ? 3 : shape.d1 != 1 ? 2 : 1;
  return {.data = data, .dtype = dtype, .dims = {shape.d0, shape.d1, shape.d2}, .rank = rank};
}

std::vector<std::byte> Encode(const std::vector<float>& values, DType dtype) {
  std::vector<std::byte> bytes(values.size() * static_cast<size_t>(SizeOf(dtype)));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kBF16) {
      const uint16_t bits = Bf16FromFloat(values[i]);
      std::memcpy(bytes.data() + i * sizeof(bits), &bits, sizeof(bits));
    } else {
      std::memcpy(bytes.data() + i * sizeof(float), &values[i], sizeof(float));
    }
  }
  return bytes;
}

template <typename Stored>
Stored LoadAt(const std::byte* bytes, size_t i) {
  Stored value;
  std::memcpy(&value, bytes + i * sizeof(Stored), sizeof(Stored));
  return value;
}

double Decode(const std::byte* bytes, DType dtype, size_t i) {
  switch (dtype) {
    case DType::kF64:
      return LoadAt<double>(bytes, i);
    case DType::kBF16:
      return FloatFromBf16(LoadAt<uint16_t>(bytes, i));
    case DType::kF16:
      return FloatFromF16(LoadAt<uint16_t>(bytes, i));
    case DType::kI32:
      return LoadAt<int32_t>(bytes, i);
    case DType::kU8:
      return LoadAt<uint8_t>(bytes, i);
    default:
      return LoadAt<float>(bytes, i);
  }
}

void Upload(Twin& twin, const void* cpu_bytes, const void* cuda_bytes) {
  ASSERT_TRUE(twin.cpu_memory->CopyFromHost(0, cpu_bytes, BytesOf(twin.cpu)).ok());
  ASSERT_TRUE(twin.cuda_memory->CopyFromHost(twin.cuda_begin, cuda_bytes, BytesOf(twin.cuda)).ok());
  ASSERT_TRUE(twin.cuda_memory->Synchronize().ok());
}

void ForGuards(const Twin& twin, void (*apply)(const void*, int64_t)) {
  apply(twin.cuda_memory->data(), twin.cuda_begin);
  apply(twin.cuda_memory->data() + twin.cuda_begin + BytesOf(twin.cuda), kGuardBytes);
}

}  // namespace

const absl::StatusOr<std::unique_ptr<CudaContext>>& TestDevice() {
  static const auto* const device = new absl::StatusOr<std::unique_ptr<CudaContext>>(
      CudaContext::Create({.scratch_bytes = kScratchBytes}));
  return *device;
}

std::string DTypeTestName(const ::testing::TestParamInfo<DType>& info) {
  return std::string(DTypeName(info.param));
}

void TwinTest::SetUp() {
  if (!TestDevice().ok()) GTEST_SKIP() << TestDevice().status();
  threads_ = std::make_unique<ThreadPool>(2);
  cpu_ = {.device = planner::BackendKind::kCpu, .threads = threads_.get()};
  cuda_ = {.device = planner::BackendKind::kCuda, .cuda = TestDevice()->get()};
}

void TwinTest::TearDown() {
  for (Twin& twin : twins_) {
    ForGuards(twin, ShowGuard);
    std::vector<uint8_t> before(kGuardBytes), after(kGuardBytes);
    ASSERT_TRUE(twin.cuda_memory->CopyToHost(before.data(), 0, kGuardBytes).ok());
    ASSERT_TRUE(twin.cuda_memory
                    ->CopyToHost(after.data(), twin.cuda_begin + BytesOf(twin.cuda), kGuardBytes)
                    .ok());
    ASSERT_TRUE(twin.cuda_memory->Synchronize().ok());
    const std::vector<uint8_t> whole(kGuardBytes, kGuard);
    EXPECT_EQ(before, whole) << twin.name << ": written before its start";
    EXPECT_EQ(after, whole) << twin.name << ": written beyond its end";
  }
}

std::vector<DType> TwinTest::AccumulatorTypes() const {
  if (T() == DType::kF32) return {DType::kF32};
  return {T(), DType::kF32};
}

Twin& TwinTest::Allocate(const std::string& name, Shape shape, DType cpu_dtype, DType cuda_dtype) {
  twins_.emplace_back();
  Twin& twin = twins_.back();
  twin.name = name;
  const int64_t cpu_bytes = shape.count() * SizeOf(cpu_dtype);
  twin.cuda_begin = kGuardBytes + (misaligned_ ? SizeOf(cuda_dtype) : 0);
  const int64_t cuda_bytes = twin.cuda_begin + shape.count() * SizeOf(cuda_dtype) + kGuardBytes;
  auto cpu_memory = DeviceMemory::Allocate(cpu_, cpu_bytes);
  auto cuda_memory = DeviceMemory::Allocate(cuda_, cuda_bytes);
  EXPECT_TRUE(cpu_memory.ok() && cuda_memory.ok()) << name << ": " << cuda_memory.status();
  twin.cpu_memory = std::move(cpu_memory).value();
  twin.cuda_memory = std::move(cuda_memory).value();
  EXPECT_TRUE(twin.cuda_memory->Fill(0, cuda_bytes, kGuard).ok());
  twin.cpu = MakeTensor(twin.cpu_memory->data(), cpu_dtype, shape);
  twin.cuda = MakeTensor(twin.cuda_memory->data() + twin.cuda_begin, cuda_dtype, shape);
  EXPECT_TRUE(twin.cuda_memory->Synchronize().ok());
  ForGuards(twin, HideGuard);
  return twin;
}

Twin& TwinTest::Values(const std::string& name, Shape shape, DType dtype,
                       const std::vector<float>& values) {
  Twin& twin = Allocate(name, shape, DType::kF32, dtype);
  std::vector<float> rounded = values;
  if (dtype == DType::kBF16) {
    for (float& value : rounded) value = FloatFromBf16(Bf16FromFloat(value));
  }
  Upload(twin, rounded.data(), Encode(rounded, dtype).data());
  return twin;
}

Twin& TwinTest::Random(const std::string& name, Shape shape, DType dtype, double deviation) {
  std::normal_distribution<float> normal(0.0f, static_cast<float>(deviation));
  std::vector<float> values(static_cast<size_t>(shape.count()));
  for (float& value : values) value = normal(random_);
  return Values(name, shape, dtype, values);
}

Twin& TwinTest::Doubles(const std::string& name, const std::vector<double>& values) {
  Twin& twin = Allocate(name, {static_cast<int64_t>(values.size())}, DType::kF64, DType::kF64);
  Upload(twin, values.data(), values.data());
  return twin;
}

Twin& TwinTest::Integers(const std::string& name, Shape shape, const std::vector<int32_t>& values) {
  Twin& twin = Allocate(name, shape, DType::kI32, DType::kI32);
  Upload(twin, values.data(), values.data());
  return twin;
}

Twin& TwinTest::Keys(const std::string& name, const std::vector<uint64_t>& values) {
  Twin& twin = Allocate(name, {static_cast<int64_t>(values.size())}, DType::kU64, DType::kU64);
  Upload(twin, values.data(), values.data());
  return twin;
}

Twin& TwinTest::Codes(const std::string& name, Shape shape, const std::vector<uint8_t>& values) {
  Twin& twin = Allocate(name, shape, DType::kU8, DType::kU8);
  Upload(twin, values.data(), values.data());
  return twin;
}

Twin& TwinTest::Poisoned(const std::string& name, Shape shape, DType dtype) {
  const DType cpu_dtype = dtype == DType::kBF16 ? DType::kF32 : dtype;
  Twin& twin = Allocate(name, shape, cpu_dtype, dtype);
  EXPECT_TRUE(twin.cpu_memory->Fill(0, BytesOf(twin.cpu), 0xff).ok());
  EXPECT_TRUE(twin.cuda_memory->Fill(twin.cuda_begin, BytesOf(twin.cuda), 0xff).ok());
  return twin;
}

std::vector<int32_t> TwinTest::RandomIntegers(int64_t count, int32_t low, int32_t high) {
  std::uniform_int_distribution<int32_t> uniform(low, high);
  std::vector<int32_t> values(static_cast<size_t>(count));
  for (int32_t& value : values) value = uniform(random_);
  return values;
}

std::vector<double> TwinTest::Download(const Twin& twin, bool from_cuda) {
  const Tensor& tensor = from_cuda ? twin.cuda : twin.cpu;
  DeviceMemory& memory = from_cuda ? *twin.cuda_memory : *twin.cpu_memory;
  std::vector<std::byte> bytes(static_cast<size_t>(BytesOf(tensor)));
  EXPECT_TRUE(
      memory.CopyToHost(bytes.data(), from_cuda ? twin.cuda_begin : 0, BytesOf(tensor)).ok());
  EXPECT_TRUE(memory.Synchronize().ok());
  std::vector<double> values(static_cast<size_t>(tensor.element_count()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = Decode(bytes.data(), tensor.dtype, i);
  }
  return values;
}

void TwinTest::ExpectClose(const Twin& twin, double tolerance) {
  const std::vector<double> expected = Download(twin, false);
  const std::vector<double> actual = Download(twin, true);
  double error = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(std::isnan(expected[i]), std::isnan(actual[i])) << twin.name << "[" << i << "]";
    if (std::isnan(expected[i])) continue;
    error += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  EXPECT_LE(std::sqrt(error), tolerance * std::sqrt(norm))
      << twin.name << ": relative error " << std::sqrt(error / std::max(norm, 1e-300));
}

void TwinTest::ExpectEqual(const Twin& twin) {
  const std::vector<double> expected = Download(twin, false);
  const std::vector<double> actual = Download(twin, true);
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(expected[i], actual[i]) << twin.name << "[" << i << "]";
  }
}

void TwinTest::ExpectSameOnDevice(const Twin& expected, const Twin& actual) {
  EXPECT_EQ(Download(expected, true), Download(actual, true)) << actual.name;
}

double TwinTest::Tolerance(DType dtype, double roundings, double terms) const {
  const double f32 = 0x1p-22 * (2 + std::sqrt(terms));
  const bool rounds = T() == DType::kBF16 && roundings > 0;
  const double output = dtype == DType::kBF16 ? 0x1p-8 : 0;
  return f32 + output + (rounds ? roundings * 0x1p-8 : 0);
}

}  // namespace tunesmith::trainer
