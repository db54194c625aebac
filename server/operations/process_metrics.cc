#include "server/operations/process_metrics.h"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/file.h"

namespace tunesmith::server {
namespace {

const absl::Time kStart = absl::Now();

double OpenFileCount() {
  std::error_code error;
  double count = 0;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error))
    ++count;
  return count;
}

double ResidentBytes() {
  std::istringstream text(ReadFile("/proc/self/statm").value_or(""));
  int64_t pages = 0;
  text >> pages >> pages;
  return static_cast<double>(pages * sysconf(_SC_PAGESIZE));
}

// What malloc has given out, and what it keeps for later: resident memory that grows is a leak where the first does.
void CollectHeap(Metrics& metrics) {
  const struct mallinfo2 heap = mallinfo2();
  const auto set = [&](const char* state, size_t bytes) {
    metrics
        .GaugeOf("tunesmith_heap_bytes", "Memory of the heap, in use and free.", {{"state", state}})
        .Set(static_cast<double>(bytes));
  };
  set("used", heap.uordblks + heap.hblkhd);
  set("free", heap.fordblks);
}

}  // namespace

void CollectProcess(Metrics& metrics) {
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  metrics.GaugeOf("process_resident_memory_bytes", "Resident memory.").Set(ResidentBytes());
  metrics.GaugeOf("process_open_fds", "Open files, connections too.").Set(OpenFileCount());
  metrics.GaugeOf("process_max_fds", "Files that may be open.")
      .Set(static_cast<double>(files.rlim_cur));
  metrics.GaugeOf("process_start_time_seconds", "When the process started, Unix time.")
      .Set(absl::ToDoubleSeconds(kStart - absl::UnixEpoch()));
  CollectHeap(metrics);
}

}  // namespace tunesmith::server
