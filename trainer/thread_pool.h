#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"

namespace tunesmith::trainer {

// A fixed set of threads that share the work of one loop at a time. One caller at a time; a loop
// must not start another.
//
// Which thread does which part of a loop is not determined. A loop's result does not depend on the
// number of threads as long as each part writes its own memory and parts are cut by sizes that do
// not depend on it: that is what ops rely on.
class ThreadPool {
 public:
  // `thread_count` includes the calling thread; at least 1.
  explicit ThreadPool(int thread_count);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int thread_count() const;

  // function(item, worker) for each item in [0, item_count), in any order but started in increasing
  // order. At most `worker_limit` threads take part; worker in [0, min(worker_limit, thread_count))
  // is another one for each, so it may index scratch memory.
  void ForEach(int64_t item_count, int worker_limit,
               absl::FunctionRef<void(int64_t item, int worker)> function);

  // function(begin, end) for disjoint ranges that cover [0, count), each of `grain` items except
  // the last.
  void ForRanges(int64_t count, int64_t grain,
                 absl::FunctionRef<void(int64_t begin, int64_t end)> function);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace tunesmith::trainer
