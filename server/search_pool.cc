#include "server/search_pool.h"

#include <malloc.h>

#include <chrono>
#include <utility>

#include "absl/time/clock.h"

namespace tunesmith::server {

SearchPool::SearchPool(int thread_count, size_t max_waiting_count, absl::Duration release_interval)
    : max_waiting_count_(max_waiting_count), release_interval_(release_interval) {
  for (int i = 0; i < thread_count; ++i) threads_.emplace_back([this] { Loop(); });
}

bool SearchPool::Submit(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || waiting_.size() >= max_waiting_count_) return false;
    waiting_.push_back(std::move(work));
  }
  there_is_work_.notify_one();
  return true;
}

size_t SearchPool::waiting_count() {
  std::lock_guard lock(mutex_);
  return waiting_.size();
}

void SearchPool::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  there_is_work_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void SearchPool::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    const bool is_called =
        there_is_work_.wait_for(lock, absl::ToChronoNanoseconds(release_interval_),
                                [this] { return stopping_ || !waiting_.empty(); });
    if (is_called) {
      if (waiting_.empty()) return;
      std::function<void()> work = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
      has_worked_ = true;
    }
    ReleaseIfDue(lock);
  }
}

void SearchPool::ReleaseIfDue(std::unique_lock<std::mutex>& lock) {
  if (!has_worked_ || absl::Now() < next_release_) return;
  has_worked_ = false;
  next_release_ = absl::Now() + release_interval_;
  lock.unlock();
  malloc_trim(0);
  lock.lock();
}

}  // namespace tunesmith::server
