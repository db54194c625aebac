#include "server/search_pool.h"

#include <utility>

namespace tunesmith::server {

SearchPool::SearchPool(int thread_count, size_t max_waiting_count)
    : max_waiting_count_(max_waiting_count) {
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
  while (true) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      there_is_work_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work();
  }
}

}  // namespace tunesmith::server
