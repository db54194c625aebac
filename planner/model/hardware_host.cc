#include "planner/model/hardware_host.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "common/numbers.h"
#include "common/text.h"
#include "common/units.h"

namespace tunesmith::planner {
namespace {

// Below what any x86-64 or Arm server core of the last ten years sustains in fp32 GEMM (AVX2 at 2
// GHz peaks at 64 GFLOP/s; two hardware threads may share a core) and below one channel of
// DDR4-2133 (17 GB/s). A probe replaces them.
constexpr double kFlopsPerSecondPerProcessor = 20e9;
constexpr double kMemoryBytesPerSecond = 10e9;
constexpr int64_t kMemoryWhenUnknown = kGiB;

std::string ReadMeminfo() {
  std::ifstream file("/proc/meminfo");
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

}  // namespace

int64_t MemAvailableBytes(std::string_view meminfo) {
  for (const std::string_view line : StrSplit(meminfo, "\n")) {
    const std::vector<std::string_view> words = StrSplitSkipEmpty(line, " ");
    int64_t kibibytes = 0;
    if (words.size() == 3 && words[0] == "MemAvailable:" && words[2] == "kB" &&
        ParseInt64(words[1], &kibibytes) && kibibytes > 0) {
      return CheckedMultiply(kibibytes, kKiB, "MemAvailable").value_or(0);
    }
  }
  return 0;
}

Hardware HostHardware() {
  const auto processors = static_cast<int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  const int64_t available_bytes = MemAvailableBytes(ReadMeminfo());
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
