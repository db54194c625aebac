#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace tunesmith::server {

// A few threads for work that takes milliseconds and more, so that gRPC's own stay free for calls
// that take none. What waits is bounded. Thread-safe.
//
// malloc keeps for every thread the most that it ever had, and a large search takes a hundred times what a small one does: what was freed goes back to
// the host at most once in `release_interval`, and that long after the last work.
class SearchPool {
 public:
  SearchPool(int thread_count, size_t max_waiting_count,
             absl::Duration release_interval = absl::Seconds(10));
  ~SearchPool() { Stop(); }

  // Runs `work` on a thread of the pool, later. False, and `work` is dropped, when too much waits
  // already or the pool was stopped.
  bool Submit(std::function<void()> work);

  size_t waiting_count();

  // Runs what waits to its end, then ends the threads.
  void Stop();

 private:
  void Loop();
  void ReleaseIfDue(std::unique_lock<std::mutex>& lock);

  const size_t max_waiting_count_;
  const absl::Duration release_interval_;
  std::mutex mutex_;
  std::condition_variable there_is_work_;
  std::deque<std::function<void()>> waiting_;
  bool stopping_ = false;
  bool has_worked_ = false;  // since memory was released
  absl::Time next_release_ = absl::InfinitePast();
  std::vector<std::thread> threads_;
};

}  // namespace tunesmith::server
