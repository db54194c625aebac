#include "planner/model/hardware_host.h"

#include <algorithm>
#include <thread>

#include "common/meminfo.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "common/vector_unit.h"

namespace tunesmith::planner {
namespace {

constexpr int64_t kMemoryWhenUnknown = kGiB;

// The fp32 peak of a processor: two multiply-add units of its vectors' width at 2.6 GHz. Of that the trainer's products were measured to reach 0.5 on Zen 4 (whose
// 512-bit units are half as many) and 0.77 on Sapphire Rapids (tests/profiler/testdata).
double PeakFlopsPerSecond(VectorUnit unit) {
  constexpr double kHertz = 2.6e9, kFlopsPerLane = 2 * 2;
  const double lanes = unit == VectorUnit::k512 ? 16 : unit == VectorUnit::k256 ? 8 : 4;
  return kHertz * kFlopsPerLane * lanes;
}

// One processor draws what a channel of DDR4-2400 gives (measured: ops of two processors that are bound by memory move 20 to 50 GB/s), many all that a socket has.
double MemoryBytesPerSecond(int64_t processors) {
  constexpr double kPerProcessor = 19.2e9;
  return std::min(kPerProcessor * static_cast<double>(processors),
                  kAssumedHostMemoryBytesPerSecond);
}

const char* VectorsOf(VectorUnit unit) {
  switch (unit) {
    case VectorUnit::k512:
      return " with AVX-512";
    case VectorUnit::k256:
      return " with AVX2";
    case VectorUnit::k128:
      break;
  }
  return "";
}

}  // namespace

Hardware HostHardware() {
  const auto processors = static_cast<int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  const int64_t available_bytes = MeminfoBytes(ReadMeminfo(), "MemAvailable");
  const VectorUnit unit = WidestVectorUnit();
  const double flops = PeakFlopsPerSecond(unit) * static_cast<double>(processors);
  const double memory_rate = MemoryBytesPerSecond(processors);
  return Hardware{
      .name = "cpu",
      .description = StrCat("this host, ", processors, " processors", VectorsOf(unit)),
      .memory_bytes = available_bytes > 0 ? available_bytes : kMemoryWhenUnknown,
      .memory_bytes_per_second = memory_rate,
      .bf16_dense_flops_per_second = HasBf16Pairs() ? 2 * flops : 0,
      .fp32_dense_flops_per_second = flops,
      .link_bytes_per_second = memory_rate / 2,  // a message is written once and read once
      .host_bytes_per_second = memory_rate / 2,
      .trainer_runs = true,
      .source =
          "MemAvailable of /proc/meminfo; rates are what processors with such vectors usually "
          "have, "
          "to be replaced by measured ones (tunesmith calibrate)",
  };
}

}  // namespace tunesmith::planner
