// /proc/<pid>/task/<tid>/schedstat: nanoseconds on a processor, nanoseconds in its queue, number of turns (Linux, Documentation/scheduler/sched-stats.rst).
// /proc/stat, first line: cpu user nice system idle iowait irq softirq steal guest guest_nice, in ticks (proc(5)).
#include "profiler/wait_seconds.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "common/file.h"
#include "common/text.h"
#include "profiler/run_step.h"

namespace tunesmith::profiler {
namespace {

constexpr size_t kQueuedField = 1;
constexpr size_t kStealField = 8;

// The words of the first line.
std::vector<std::string> WordsOfFirstLine(std::string_view text) {
  std::vector<std::string> words;
  for (const std::string_view word : StrSplit(text.substr(0, text.find('\n')), " "))
    if (!word.empty()) words.emplace_back(word);
  return words;
}

double NumberAt(std::string_view text, size_t field) {
  const std::vector<std::string> words = WordsOfFirstLine(text);
  return field < words.size() ? std::strtod(words[field].c_str(), nullptr) : 0;
}

}  // namespace

double QueuedSeconds(std::string_view schedstat) {
  return 1e-9 * NumberAt(schedstat, kQueuedField);
}

double StolenSeconds(std::string_view stat) {
  if (!stat.starts_with("cpu ")) return 0;
  return NumberAt(stat, kStealField) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double WaitedSeconds() {
  double seconds = StolenSeconds(ReadFile("/proc/stat").value_or(""));
  std::error_code error;
  for (std::filesystem::directory_iterator task("/proc/self/task", error), end;
       !error && task != end; task.increment(error))
    seconds += QueuedSeconds(ReadFile(task->path().string() + "/schedstat").value_or(""));
  return seconds;
}

double OwnShare(double waited_share) { return std::max(0.1, 1 - waited_share); }

WaitMeter::WaitMeter(int64_t thread_count)
    : thread_count_(static_cast<double>(thread_count)),
      start_(MonotonicSeconds()),
      waited_(WaitedSeconds()) {}

double WaitMeter::Share() const {
  const double seconds = MonotonicSeconds() - start_;
  return std::clamp((WaitedSeconds() - waited_) / (seconds * thread_count_), 0.0, 1.0);
}

}  // namespace tunesmith::profiler
