#include "planner/model/hardware_host.h"

#include <algorithm>
#include <thread>

#include "common/meminfo.h"
#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith::planner {
namespace {

// Below what any x86-64 or Arm server core of the last ten years sustains in fp32 GEMM (AVX2 at 2
// GHz peaks at 64 GFLOP/s; two hardware threads may share a core) and below one channel of
// DDR4-2133 (17 GB/s). A probe replaces them.
constexpr double kFlopsPerSecondPerProcessor = 20e9;
constexpr double kMemoryBytesPerSecond = 10e9;
constexpr int64_t kMemoryWhenUnknown = kGiB;

}  // namespace

Hardware HostHardware() {
  const auto processors = static_cast<int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  const int64_t available_bytes = MeminfoBytes(ReadMeminfo(), "MemAvailable");
  return Hardware{
      .name = "cpu",
      .description = StrCat("this host, ", processors, " processors"),
      .memory_bytes = available_bytes > 0 ? available_bytes : kMemoryWhenUnknown,
      .memory_bytes_per_second = kMemoryBytesPerSecond,
      .fp32_dense_flops_per_second = kFlopsPerSecondPerProcessor * static_cast<double>(processors),
      .link_bytes_per_second =
          kMemoryBytesPerSecond / 2,  // a message is written once and read once
      .host_bytes_per_second = kMemoryBytesPerSecond / 2,
      .trainer_runs = true,
      .source =
          "MemAvailable of /proc/meminfo; rates are lower bounds for server processors since 2014, "
          "to be "
          "replaced by a probe (tunesmith-profiler)",
  };
}

}  // namespace tunesmith::planner
