#include "trainer/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "common/units.h"

namespace tunesmith::trainer {
namespace {

// How often a thread looks for the next loop before it sleeps. Ops of a step follow each other
// within microseconds, and waking a thread takes tens of them.
constexpr int kSpinCount = 2000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

class ThreadPool::State {
 public:
  using Function = absl::FunctionRef<void(int64_t, int)>;

  explicit State(int thread_count) {
    for (int worker = 1; worker < thread_count; ++worker) {
      threads_.emplace_back([this, worker] { Serve(worker); });
    }
  }

  ~State() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      generation_.fetch_add(1);
    }
    work_ready_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  int thread_count() const { return static_cast<int>(threads_.size()) + 1; }

  void Run(int64_t item_count, int worker_limit, Function function) {
    Open(item_count, worker_limit, &function);
    TakeItems(0);
    Close();
  }

 private:
  void Open(int64_t item_count, int worker_limit, const Function* function) {
    {
      std::lock_guard lock(mutex_);
      function_ = function;
      item_count_ = item_count;
      worker_limit_ = worker_limit;
      next_item_.store(0);
      open_ = true;
      generation_.fetch_add(1);
    }
    work_ready_.notify_all();
  }

  // Threads that are still asleep now find the loop closed; only those that entered it are waited
  // for.
  void Close() {
    {
      std::lock_guard lock(mutex_);
      open_ = false;
    }
    // The others end within a part's time, mostly.
    for (int i = 0; i < kSpinCount && active_count_.load() > 0; ++i) Pause();
    std::unique_lock lock(mutex_);
    all_left_.wait(lock, [this] { return active_count_ == 0; });
  }

  void TakeItems(int worker) {
    for (int64_t item = next_item_.fetch_add(1); item < item_count_;
         item = next_item_.fetch_add(1)) {
      (*function_)(item, worker);
    }
  }

  void Serve(int worker) {
    int64_t seen = 0;
    while (true) {
      for (int i = 0; i < kSpinCount && generation_.load() == seen; ++i) Pause();
      std::unique_lock lock(mutex_);
      work_ready_.wait(lock, [&] { return generation_.load() != seen; });
      seen = generation_.load();
      if (stopping_) return;
      if (!open_ || worker >= worker_limit_) continue;
      ++active_count_;
      lock.unlock();
      TakeItems(worker);
      lock.lock();
      if (--active_count_ == 0) all_left_.notify_one();
    }
  }

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable work_ready_;
  std::condition_variable all_left_;
  std::atomic<int64_t> generation_ = 0;  // of the loop; written under mutex_
  std::atomic<int64_t> next_item_ = 0;
  // Under mutex_; a thread that has entered the loop may read the loop's without it.
  const Function* function_ = nullptr;
  int64_t item_count_ = 0;
  int worker_limit_ = 0;
  bool open_ = false;
  bool stopping_ = false;
  std::atomic<int> active_count_ = 0;  // written under mutex_
};

ThreadPool::ThreadPool(int thread_count)
    : state_(std::make_unique<State>(std::max(1, thread_count))) {}

ThreadPool::~ThreadPool() = default;

int ThreadPool::thread_count() const { return state_->thread_count(); }

void ThreadPool::ForEach(int64_t item_count, int worker_limit,
                         absl::FunctionRef<void(int64_t item, int worker)> function) {
  if (item_count <= 1 || worker_limit <= 1 || thread_count() == 1) {
    for (int64_t item = 0; item < item_count; ++item) function(item, 0);
    return;
  }
  state_->Run(item_count, worker_limit, function);
}

void ThreadPool::ForRanges(int64_t count, int64_t grain,
                           absl::FunctionRef<void(int64_t begin, int64_t end)> function) {
  ForEach(CeilDivide(count, grain), thread_count(),
          [&](int64_t item, int) { function(item * grain, std::min(count, (item + 1) * grain)); });
}

}  // namespace tunesmith::trainer
