#include "common/host_fingerprint.h"

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "common/str_cat.h"
#include "common/units.h"
#include "common/version.h"

namespace tunesmith {

std::string HostFingerprint() {
  std::ifstream cpuinfo("/proc/cpuinfo"), meminfo("/proc/meminfo");
  std::string line, processor = "unknown processor", memory;
  while (std::getline(cpuinfo, line)) {
    if (line.rfind("model name", 0) == 0) {
      processor = line.substr(line.find(':') + 2);
      break;
    }
  }
  int64_t kib = 0;
  if (std::getline(meminfo, line))
    kib = std::strtoll(line.c_str() + line.find(':') + 1, nullptr, 10);
  return StrCat(processor, ", ", static_cast<int64_t>(std::thread::hardware_concurrency()),
                " processors, ", CeilDivide(kib * kKiB, kGiB), " GiB, trainer ", Version());
}

}  // namespace tunesmith
