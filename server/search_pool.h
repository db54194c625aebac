#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tunesmith::server {

// A few threads for work that takes milliseconds and more, so that gRPC's own stay free for calls
// that take none. What waits is bounded. Thread-safe.
class SearchPool {
 public:
  SearchPool(int thread_count, size_t max_waiting_count);
  ~SearchPool() { Stop(); }

  // Runs `work` on a thread of the pool, later. False, and `work` is dropped, when too much waits
  // already or the pool was stopped.
  bool Submit(std::function<void()> work);

  size_t waiting_count();

  // Runs what waits to its end, then ends the threads.
  void Stop();

 private:
  void Loop();

  const size_t max_waiting_count_;
  std::mutex mutex_;
  std::condition_variable there_is_work_;
  std::deque<std::function<void()>> waiting_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace tunesmith::server
