#include "profiler/busy_share.h"

#include <time.h>

#include <algorithm>
#include <functional>
#include <thread>
#include <vector>

#include "profiler/run_step.h"

namespace tunesmith::profiler {
namespace {

constexpr double kSpinSeconds = 0.3;

double ThreadSeconds() {
  struct timespec spent = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return static_cast<double>(spent.tv_sec) + 1e-9 * static_cast<double>(spent.tv_nsec);
}

void Spin(double& waited_share) {
  const double start = MonotonicSeconds(), spent_before = ThreadSeconds();
  double now = start;
  while (now < start + kSpinSeconds) now = MonotonicSeconds();
  waited_share = std::max(0.0, 1 - (ThreadSeconds() - spent_before) / (now - start));
}

}  // namespace

double BusyShare(int64_t thread_count) {
  std::vector<double> shares(static_cast<size_t>(std::max<int64_t>(1, thread_count)));
  std::vector<std::thread> threads;
  for (double& share : shares) threads.emplace_back(Spin, std::ref(share));
  for (std::thread& thread : threads) thread.join();
  double sum = 0;
  for (const double share : shares) sum += share;
  return sum / static_cast<double>(shares.size());
}

}  // namespace tunesmith::profiler
