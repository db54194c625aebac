#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "trainer/cuda/kernel.cuh"
#include "trainer/cuda/resources.h"

// The emulation finds what is wrong with kernels that are wrong on purpose, and leaves those that are right alone.
namespace tunesmith::trainer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kThreads = 128;

struct Exchanged {
  float values[kThreads];
};

DeviceBuffer Floats(int64_t count) { return DeviceBuffer::Create(count * 4).value(); }
float* DataOf(const DeviceBuffer& buffer) { return reinterpret_cast<float*>(buffer.data()); }

template <typename... Parameters, typename... Arguments>
absl::Status Execute(void (*kernel)(Parameters...), Arguments... arguments) {
  return LaunchKernel(kernel, {.grid = dim3(2), .block = dim3(kThreads), .shared_bytes = 1024},
                      nullptr, arguments...);
}

// ---- Errors -------------------------------------------------------------------------------------

TEST(CudaStatusTest, FailuresOfTheDeviceSayWhatToDo) {
  const auto message = [](cudaError_t error) {
    const absl::Status status = CudaStatus(error, "cudaStreamSynchronize", "file.cc", 7);
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    return std::string(status.message());
  };
  EXPECT_THAT(message(cudaErrorIllegalAddress),
              AllOf(HasSubstr("cudaStreamSynchronize at file.cc:7"),
                    HasSubstr("CUDA_LAUNCH_BLOCKING=1 has the op named")));
  EXPECT_THAT(message(cudaErrorECCUncorrectable), HasSubstr("from the last checkpoint"));
  EXPECT_THAT(message(cudaErrorLaunchTimeout), HasSubstr("drives a display"));
}

// ---- Barriers -----------------------------------------------------------------------------------

// With its barrier a thread reads what another warp wrote.
template <bool kHasBarrier>
__global__ void ReverseKernel(float* out) {
  auto& values = Shared<Exchanged>().values;
  values[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (kHasBarrier) __syncthreads();
  out[blockIdx.x * kThreads + threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

int WrongCount(const float* out) {
  int wrong = 0;
  for (int i = 0; i < 2 * kThreads; ++i)
    wrong += out[i] != static_cast<float>(kThreads - 1 - i % kThreads);
  return wrong;
}

TEST(EmulationTest, BarriersOrderWarps) {
  const DeviceBuffer out = Floats(2 * kThreads);
  ASSERT_TRUE(Execute(ReverseKernel<true>, DataOf(out)).ok());
  EXPECT_EQ(WrongCount(DataOf(out)), 0);
}

TEST(EmulationTest, MissingBarrierShows) {
  const DeviceBuffer out = Floats(2 * kThreads);
  ASSERT_TRUE(Execute(ReverseKernel<false>, DataOf(out)).ok());
  EXPECT_GT(WrongCount(DataOf(out)), 0);
}

// Lanes of a warp are no more in step than warps are.
template <bool kHasBarrier>
__global__ void NeighbourKernel(float* out) {
  auto& values = Shared<Exchanged>().values;
  values[threadIdx.x] = 1.0f;
  if (kHasBarrier) __syncwarp();
  out[blockIdx.x * kThreads + threadIdx.x] = values[threadIdx.x ^ 1];
}

TEST(EmulationTest, MissingWarpBarrierShows) {
  const DeviceBuffer out = Floats(2 * kThreads);
  const auto sum = [&] {
    float total = 0;
    for (int i = 0; i < 2 * kThreads; ++i) total += DataOf(out)[i];
    return total;
  };
  ASSERT_TRUE(Execute(NeighbourKernel<true>, DataOf(out)).ok());
  EXPECT_EQ(sum(), 2 * kThreads);
  ASSERT_TRUE(Execute(NeighbourKernel<false>, DataOf(out)).ok());
  EXPECT_TRUE(std::isnan(sum()));
}

__global__ void EarlyEndKernel() {
  if (threadIdx.x >= 40) return;
  __syncthreads();
}

TEST(EmulationTest, EndingWhileOthersWaitFails) {
  const absl::Status status = Execute(EarlyEndKernel);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("EarlyEndKernel"), HasSubstr("40 in __syncthreads"),
                    HasSubstr("88 have ended")));
}

__global__ void TwoBarriersKernel() {
  if (threadIdx.x < 64) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST(EmulationTest, DifferentBarriersFail) {
  const absl::Status status = Execute(TwoBarriersKernel);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("TwoBarriersKernel"), HasSubstr("while others wait at")));
}

__global__ void CountKernel(float* out) {
  const int count = __syncthreads_count(threadIdx.x % 3 == 0);
  const int any = __syncthreads_or(threadIdx.x == 99);
  const unsigned int votes = __ballot_sync(0xffffffffu, threadIdx.x % 32 < 3);
  out[blockIdx.x * kThreads + threadIdx.x] = static_cast<float>(count) +
                                             1000.0f * static_cast<float>(any) +
                                             10000.0f * static_cast<float>(votes);
}

TEST(EmulationTest, CountsVotes) {
  const DeviceBuffer out = Floats(2 * kThreads);
  ASSERT_TRUE(Execute(CountKernel, DataOf(out)).ok());
  for (int i = 0; i < 2 * kThreads; ++i) EXPECT_EQ(DataOf(out)[i], 43.0f + 1000.0f + 70000.0f);
}

// ---- Warps --------------------------------------------------------------------------------------

__global__ void DivergedShuffleKernel() {
  const float value = 1.0f;
  if (threadIdx.x % 32 < 16) {
    __shfl_xor_sync(0xffffffffu, value, 1);
  } else {
    __shfl_xor_sync(0xffffffffu, value, 2);
  }
}

TEST(EmulationTest, DivergedShuffleFails) {
  EXPECT_THAT(std::string(Execute(DivergedShuffleKernel).message()),
              AllOf(HasSubstr("DivergedShuffleKernel"), HasSubstr("while lanes wait")));
}

__global__ void ForeignMaskKernel() { __shfl_xor_sync(0x0000ffffu, 1.0f, 1); }

TEST(EmulationTest, MaskWithoutTheLaneItselfFails) {
  EXPECT_THAT(std::string(Execute(ForeignMaskKernel).message()),
              AllOf(HasSubstr("ForeignMaskKernel"), HasSubstr("does not name the lane")));
}

__global__ void OutsideMaskKernel() {
  if (threadIdx.x % 32 < 16) __shfl_xor_sync(0x0000ffffu, 1.0f, 16);
}

TEST(EmulationTest, ShuffleFromOutsideTheMaskFails) {
  EXPECT_THAT(std::string(Execute(OutsideMaskKernel).message()), HasSubstr("does not name"));
}

__global__ void HalfWarpKernel(float* out) {
  float value = static_cast<float>(threadIdx.x % 32);
  if (threadIdx.x % 32 < 16) value = __shfl_xor_sync(0x0000ffffu, value, 3);
  out[blockIdx.x * kThreads + threadIdx.x] = value;
}

TEST(EmulationTest, HalfOfAWarpMayShuffle) {
  const DeviceBuffer out = Floats(2 * kThreads);
  ASSERT_TRUE(Execute(HalfWarpKernel, DataOf(out)).ok());
  EXPECT_EQ(DataOf(out)[4], 7.0f);
  EXPECT_EQ(DataOf(out)[20], 20.0f);
}

// ---- Memory -------------------------------------------------------------------------------------

__global__ void UnwrittenKernel(float* out) {
  out[blockIdx.x * kThreads + threadIdx.x] = Shared<Exchanged>().values[threadIdx.x];
  Shared<Exchanged>().values[threadIdx.x] = 1.0f;
}

TEST(EmulationTest, EveryBlockFindsNansInSharedMemory) {
  const DeviceBuffer out = Floats(2 * kThreads);
  ASSERT_TRUE(Execute(UnwrittenKernel, DataOf(out)).ok());
  for (int i = 0; i < 2 * kThreads; ++i) EXPECT_TRUE(std::isnan(DataOf(out)[i]));
}

__global__ void ReadKernel(const float* x, int64_t index, float* out) {
  if (GlobalThread() == 0) *out = x[index];
}

TEST(EmulationDeathTest, ReadsOutOfBoundsNameTheKernel) {
  const DeviceBuffer x = Floats(64), out = Floats(1);
  ASSERT_TRUE(Execute(ReadKernel, DataOf(x), int64_t{63}, DataOf(out)).ok());
  EXPECT_DEATH(Execute(ReadKernel, DataOf(x), int64_t{64}, DataOf(out)).IgnoreError(),
               "in kernel .*ReadKernel.*heap-buffer-overflow");
}

__global__ void SharedIndexKernel(int index) {
  auto& values = Shared<Exchanged>().values;
  values[threadIdx.x] = 0.0f;
  if (threadIdx.x == 5) *(values + index) = 1.0f;
}

TEST(EmulationDeathTest, WritesBeyondSharedMemoryNameTheKernel) {
  ASSERT_TRUE(Execute(SharedIndexKernel, kThreads - 1).ok());
  EXPECT_DEATH(Execute(SharedIndexKernel, kThreads).IgnoreError(), "in kernel .*SharedIndexKernel");
}

__global__ void DynamicIndexKernel(int index) {
  if (threadIdx.x == 5) DynamicShared()[index] = std::byte{0};
}

TEST(EmulationDeathTest, WritesBeyondDynamicSharedMemoryNameTheKernel) {
  ASSERT_TRUE(Execute(DynamicIndexKernel, 1023).ok());
  EXPECT_DEATH(Execute(DynamicIndexKernel, 1024).IgnoreError(), "in kernel .*DynamicIndexKernel");
}

__global__ void PackKernel(const float* x, float* out) {
  if (GlobalThread() == 0) *out = reinterpret_cast<const Pack<float, 4>*>(x)->values[0];
}

TEST(EmulationTest, MisalignedPacksFail) {
  const DeviceBuffer x = Floats(64), out = Floats(1);
  ASSERT_TRUE(Execute(PackKernel, DataOf(x) + 4, DataOf(out)).ok());
  EXPECT_THAT(std::string(Execute(PackKernel, DataOf(x) + 2, DataOf(out)).message()),
              AllOf(HasSubstr("PackKernel"), HasSubstr("misaligned")));
}

__global__ void CopyKernel(const float* x, float* out, bool waits) {
  auto* const shared = reinterpret_cast<float*>(DynamicShared());
  CopyAsync16(shared + 4 * (threadIdx.x % 64), x + 4 * (threadIdx.x % 64), threadIdx.x % 64 < 48);
  CommitCopies();
  if (waits) WaitForCopies<0>();
  __syncthreads();
  out[blockIdx.x * kThreads + threadIdx.x] = shared[threadIdx.x * 2];
}

TEST(EmulationTest, CopiesMayComeLate) {
  const DeviceBuffer x = Floats(256), out = Floats(2 * kThreads);
  for (int i = 0; i < 256; ++i) DataOf(x)[i] = static_cast<float>(i);
  ASSERT_TRUE(Execute(CopyKernel, DataOf(x), DataOf(out), true).ok());
  for (int i = 0; i < kThreads; ++i) {
    EXPECT_EQ(DataOf(out)[i], i < 96 ? static_cast<float>(2 * i) : 0.0f) << i;
  }
  ASSERT_TRUE(Execute(CopyKernel, DataOf(x), DataOf(out), false).ok());
  int unwritten = 0;
  for (int i = 0; i < kThreads; ++i) unwritten += std::isnan(DataOf(out)[i]);
  EXPECT_GT(unwritten, 0);
}

// ---- Launches -----------------------------------------------------------------------------------

TEST(EmulationTest, RefusesWhatAnSm90Does) {
  EXPECT_THAT(std::string(LaunchKernel(EarlyEndKernel, {dim3(1), dim3(1025)}, nullptr).message()),
              HasSubstr("1024 threads"));
  EXPECT_FALSE(LaunchKernel(EarlyEndKernel, {dim3(0)}, nullptr).ok());
  EXPECT_FALSE(LaunchKernel(EarlyEndKernel, {dim3(1, 65536)}, nullptr).ok());
  EXPECT_TRUE(LaunchKernel(DynamicIndexKernel, {dim3(1), dim3(32), 227 << 10}, nullptr, 0).ok());
  EXPECT_FALSE(
      LaunchKernel(DynamicIndexKernel, {dim3(1), dim3(32), 1 + (227 << 10)}, nullptr, 0).ok());
  const cudaLaunchConfig_t unasked = {
      .gridDim = dim3(1), .blockDim = dim3(32), .dynamicSmemBytes = (48 << 10) + 1};
  EXPECT_NE(cudaLaunchKernelEx(&unasked, EarlyEndKernel), cudaSuccess);
}

// Objects of static size count as well.
TEST(EmulationTest, SharedMemoryBeyondTheUnaskedIsAskedFor) {
  constexpr int kLimit = 48 << 10;
  const LaunchShape shape = {dim3(1), dim3(kThreads), kLimit - int{sizeof(Exchanged)} + 1};
  const cudaLaunchConfig_t unasked = {.gridDim = shape.grid,
                                      .blockDim = shape.block,
                                      .dynamicSmemBytes = static_cast<size_t>(shape.shared_bytes)};
  EXPECT_NE(cudaLaunchKernelEx(&unasked, SharedIndexKernel, 0), cudaSuccess);
  EXPECT_THAT(cudaGetErrorString(cudaErrorLaunchFailure),
              HasSubstr("49153 bytes of shared memory where 49152 are allowed"));
  EXPECT_TRUE(LaunchKernel(SharedIndexKernel, shape, nullptr, 0).ok());
}

// ---- Matrix instructions ------------------------------------------------------------------------

// One warp: c (16, 8) = a (16, 16) times b (16, 8), or b's transpose (8, 16), through shared memory.
template <bool kTransposed>
__global__ void ProductKernel(const Bf16* a, const Bf16* b, float* c) {
  auto* const a_shared = reinterpret_cast<Bf16*>(DynamicShared());
  Bf16* const b_shared = a_shared + 256;
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) a_shared[i] = a[i];
  for (int i = lane; i < 256; i += 32) b_shared[i] = b[i];
  __syncwarp();
  uint32_t a_registers[4], b_registers[4];
  LoadMatrices(a_shared + lane % 16 * 16 + lane / 16 * 8, a_registers);
  if (kTransposed) {
    LoadMatrices(b_shared + (lane % 8 + lane / 16 * 8) * 16 + lane / 8 % 2 * 8, b_registers);
  } else {
    LoadMatricesTransposed(b_shared + lane % 16 * 16 + lane / 16 * 8, b_registers);
  }
  for (int tile = 0; tile < 2; ++tile) {
    float sums[4] = {};
    MultiplyAdd(a_registers, b_registers[2 * tile], b_registers[2 * tile + 1], sums);
    for (int i = 0; i < 4; ++i)
      c[(lane / 4 + i / 2 * 8) * 16 + tile * 8 + lane % 4 * 2 + i % 2] = sums[i];
  }
}

TEST(EmulationTest, MatrixInstructionsMultiply) {
  const DeviceBuffer a = Floats(128), b = Floats(128), c = Floats(256);
  auto* const a_values = reinterpret_cast<Bf16*>(a.data());
  auto* const b_values = reinterpret_cast<Bf16*>(b.data());
  for (int i = 0; i < 256; ++i) {
    a_values[i] = Bf16(static_cast<float>(i * 7 % 13) - 6.0f);
    b_values[i] = Bf16(static_cast<float>(i * 5 % 11) - 5.0f);
  }
  for (const bool transposed : {false, true}) {
    ASSERT_TRUE(LaunchKernel(transposed ? ProductKernel<true> : ProductKernel<false>,
                             {dim3(1), dim3(32), 1024}, nullptr, a_values, b_values, DataOf(c))
                    .ok());
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 16; ++j) {
        float sum = 0;
        for (int k = 0; k < 16; ++k) {
          sum += static_cast<float>(a_values[i * 16 + k]) *
                 static_cast<float>(b_values[transposed ? j * 16 + k : k * 16 + j]);
        }
        EXPECT_EQ(DataOf(c)[i * 16 + j], sum) << i << ", " << j;
      }
    }
  }
}

}  // namespace
}  // namespace tunesmith::trainer
