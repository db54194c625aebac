#include "common/meminfo.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include "common/numbers.h"
#include "common/text.h"
#include "common/units.h"

namespace tunesmith {

std::string ReadMeminfo() {
  std::ifstream file("/proc/meminfo");
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

int64_t MeminfoBytes(std::string_view meminfo, std::string_view field) {
  for (const std::string_view line : StrSplit(meminfo, "\n")) {
    const std::vector<std::string_view> words = StrSplitSkipEmpty(line, " ");
    int64_t kibibytes = 0;
    if (words.size() == 3 && words[0] == StrCat(field, ":") && words[2] == "kB" &&
        ParseInt64(words[1], &kibibytes) && kibibytes > 0) {
      return CheckedMultiply(kibibytes, kKiB, "meminfo").value_or(0);
    }
  }
  return 0;
}

int64_t PeakResidentBytes() {
  constexpr std::string_view kField = "VmHWM:";
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(kField))
      return std::strtoll(line.c_str() + kField.size(), nullptr, 10) * kKiB;
  return 0;
}

}  // namespace tunesmith
