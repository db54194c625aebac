#include "profiler/host_probe.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/file.h"
#include "common/median.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "common/units.h"
#include "profiler/run_step.h"

namespace tunesmith::profiler {
namespace {

constexpr size_t kRounds = 3;
constexpr int64_t kDiskBytes = 64 * kMiB, kDiskChunkBytes = 1 * kMiB;
constexpr double kDiskSeconds = 2;
// Of an array per processor, there are two: more than a processor's share of the caches, and over all processors no more than a gibibyte.
constexpr int64_t kUncachedBytes = 64 * kMiB;
constexpr int64_t kMostArrayBytes = 1 * kGiB;

int64_t ProcessorCount() { return std::max<int64_t>(1, std::thread::hardware_concurrency()); }

// Runs work(i) on so many threads at once.
template <typename Work>
void Together(int64_t count, const Work& work) {
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < count; ++i) threads.emplace_back([&work, i] { work(i); });
  for (std::thread& thread : threads) thread.join();
}

// Reads two and writes one, as an update does with gradients and weights.
void Update(const std::vector<float>& gradient, std::vector<float>& weight) {
  for (size_t i = 0; i < weight.size(); ++i) weight[i] += 1e-3f * gradient[i];
}

}  // namespace

int64_t ResidentBytes() {
  const std::string text = ReadFile("/proc/self/statm").value_or("");
  const std::vector<std::string_view> fields = StrSplit(text, " ");
  if (fields.size() < 2) return 0;
  return std::strtoll(std::string(fields[1]).c_str(), nullptr, 10) * sysconf(_SC_PAGESIZE);
}

double HertzOfCpuinfo(const std::string& cpuinfo) {
  double sum = 0;
  int count = 0;
  for (const std::string_view line : StrSplit(cpuinfo, "\n")) {
    if (!line.starts_with("cpu MHz")) continue;
    sum += std::strtod(std::string(line.substr(line.find(':') + 1)).c_str(), nullptr);
    ++count;
  }
  return count == 0 ? 0 : 1e6 * sum / count;
}

// scaling_cur_freq is in kilohertz (Linux, Documentation/admin-guide/pm/cpufreq.rst).
double ProcessorHertz() {
  double sum = 0;
  const int64_t count = ProcessorCount();
  for (int64_t i = 0; i < count; ++i) {
    const auto text =
        ReadFile(StrCat("/sys/devices/system/cpu/cpu", i, "/cpufreq/scaling_cur_freq"));
    if (!text.ok()) return HertzOfCpuinfo(ReadFile("/proc/cpuinfo").value_or(""));
    sum += 1e3 * std::strtod(text->c_str(), nullptr);
  }
  return sum / static_cast<double>(count);
}

double HostMemoryBytesPerSecond() {
  const int64_t count = ProcessorCount(), bytes = std::min(kUncachedBytes, kMostArrayBytes / count);
  std::vector<double> rates;
  std::vector<std::vector<float>> gradients(static_cast<size_t>(count)), weights = gradients;
  const auto size = static_cast<size_t>(bytes / 4);
  Together(count, [&](int64_t i) {
    gradients[static_cast<size_t>(i)].assign(size, 1.0f);
    weights[static_cast<size_t>(i)].assign(size, 1.0f);
  });
  for (size_t round = 0; round < kRounds; ++round) {
    const double start = MonotonicSeconds();
    Together(count, [&](int64_t i) {
      Update(gradients[static_cast<size_t>(i)], weights[static_cast<size_t>(i)]);
    });
    rates.push_back(static_cast<double>(3 * bytes * count) / (MonotonicSeconds() - start));
  }
  return Median(rates);
}

absl::StatusOr<double> CheckpointBytesPerSecond(const std::string& directory) {
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(directory));
  const std::string path = StrCat(directory, "/.disk-probe.", getpid()),
                    chunk(kDiskChunkBytes,
                          'x');  // disks that compress are no worse for it than for zeros
  std::vector<double> rates;
  const double until = MonotonicSeconds() + kDiskSeconds;
  do {
    const double start = MonotonicSeconds();
    TUNESMITH_ASSIGN_OR_RETURN(AtomicFileWriter writer, AtomicFileWriter::Open(path));
    while (writer.written_bytes() < kDiskBytes) TUNESMITH_RETURN_IF_ERROR(writer.Write(chunk));
    TUNESMITH_RETURN_IF_ERROR(writer.Commit());
    rates.push_back(static_cast<double>(kDiskBytes) / (MonotonicSeconds() - start));
    std::error_code error;
    std::filesystem::remove(path, error);
  } while (rates.size() < kRounds && MonotonicSeconds() < until);
  return Median(rates);
}

}  // namespace tunesmith::profiler
