#include "tests/trainer/cuda/described_devices.h"

#include <cstdint>

#include "common/str_cat.h"

// The numbers are cudaDeviceProp's of each device, from NVIDIA's data sheets and the CUDA programming guide's table of compute capabilities.
namespace tunesmith::trainer {
namespace {

struct Properties {
  const char* name;
  int version;  // 900 for sm_90
  int multiprocessors;
  int shared_bytes_per_block;
  int threads_per_multiprocessor;
  int blocks_per_multiprocessor;
  int64_t memory_bytes;
  int clock_khz, memory_clock_khz;
  int l2_bytes;
};

std::string Describe(const Properties& p) {
  return StrCat(
      R"({"maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,)",
      R"("warpSize":32,"maxSharedMemoryPerBlock":49152,"reservedSharedMemoryPerBlock":1024,)",
      R"("maxRegistersPerSM":65536,"maxThreadsPerBlock":1024,"pciDeviceId":0,"isTccDriver":0,)",
      R"("supportCoopLaunch":1,"cudaDeviceId":0,"driverVer":13000,"multiProcessorCount":)",
      p.multiprocessors, R"(,"maxSharedMemoryPerBlockOptin":)", p.shared_bytes_per_block,
      R"(,"maxCtasPerSM":)", p.blocks_per_multiprocessor, R"(,"maxThreadsPerSM":)",
      p.threads_per_multiprocessor, R"(,"totalGlobalMem":)", p.memory_bytes,
      R"(,"smClockRateKHz":)", p.clock_khz, R"(,"memClockRateKHz":)", p.memory_clock_khz,
      R"(,"l2CacheSize":)", p.l2_bytes, R"(,"deviceVer":)", p.version, R"(,"deviceName":")", p.name,
      R"("})");
}

constexpr Properties kH100 = {.name = "NVIDIA H100 80GB HBM3",
                              .version = 900,
                              .multiprocessors = 132,
                              .shared_bytes_per_block = 232448,
                              .threads_per_multiprocessor = 2048,
                              .blocks_per_multiprocessor = 32,
                              .memory_bytes = 84929347584,
                              .clock_khz = 1980000,
                              .memory_clock_khz = 2619000,
                              .l2_bytes = 52428800};
constexpr Properties kA100 = {.name = "NVIDIA A100-SXM4-80GB",
                              .version = 800,
                              .multiprocessors = 108,
                              .shared_bytes_per_block = 166912,
                              .threads_per_multiprocessor = 2048,
                              .blocks_per_multiprocessor = 32,
                              .memory_bytes = 84929347584,
                              .clock_khz = 1410000,
                              .memory_clock_khz = 1593000,
                              .l2_bytes = 41943040};
constexpr Properties kRtx4090 = {.name = "NVIDIA GeForce RTX 4090",
                                 .version = 890,
                                 .multiprocessors = 128,
                                 .shared_bytes_per_block = 101376,
                                 .threads_per_multiprocessor = 1536,
                                 .blocks_per_multiprocessor = 24,
                                 .memory_bytes = 25000000000,
                                 .clock_khz = 2520000,
                                 .memory_clock_khz = 10501000,
                                 .l2_bytes = 75497472};

}  // namespace

const std::vector<DescribedDevice>& DescribedDevices() {
  static const auto* const devices =
      new std::vector<DescribedDevice>{{"H100", 90, Describe(kH100)},
                                       {"A100", 80, Describe(kA100)},
                                       {"RTX4090", 89, Describe(kRtx4090)}};
  return *devices;
}

}  // namespace tunesmith::trainer
