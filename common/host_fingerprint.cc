#include "common/host_fingerprint.h"

#include <cstdint>
#include <fstream>
#include <thread>

#include "common/meminfo.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "common/version.h"

namespace tunesmith {

std::string HostFingerprint() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string line, processor = "unknown processor";
  while (std::getline(cpuinfo, line)) {
    if (line.rfind("model name", 0) == 0) {
      processor = line.substr(line.find(':') + 2);
      break;
    }
  }
  return StrCat(processor, ", ", static_cast<int64_t>(std::thread::hardware_concurrency()),
                " processors, ", CeilDivide(MeminfoBytes(ReadMeminfo(), "MemTotal"), kGiB),
                " GiB, trainer ", Version());
}

}  // namespace tunesmith
