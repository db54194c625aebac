#pragma once

#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <utility>

#include "trainer/comm/communicator.h"

namespace tunesmith::trainer {

// Sleeps a random time of at most `most` before each call, so that ranks come in any order. What is computed must not change.
class DelayingCommunicator final : public Communicator {
 public:
  DelayingCommunicator(std::unique_ptr<Communicator> real, uint64_t seed,
                       std::chrono::microseconds most)
      : Communicator(real->rank(), real->size()),
        real_(std::move(real)),
        random_(seed * 1000003 + static_cast<uint64_t>(rank())),
        delay_(0, most.count()) {}

  absl::Status AllGather(const void* shard, void* whole, int64_t shard_bytes) override {
    Sleep();
    return real_->AllGather(shard, whole, shard_bytes);
  }
  absl::Status ReduceScatter(void* whole, void* shard, int64_t shard_count, DType dtype,
                             bool accumulate) override {
    Sleep();
    return real_->ReduceScatter(whole, shard, shard_count, dtype, accumulate);
  }
  absl::Status AllReduce(void* data, int64_t count, DType dtype) override {
    Sleep();
    return real_->AllReduce(data, count, dtype);
  }
  absl::Status AllToAll(const void* in, void* out, int64_t bytes_per_rank,
                        int64_t group_size) override {
    Sleep();
    return real_->AllToAll(in, out, bytes_per_rank, group_size);
  }
  absl::Status Broadcast(void* data, int64_t bytes, int64_t root) override {
    Sleep();
    return real_->Broadcast(data, bytes, root);
  }
  absl::Status Barrier() override {
    Sleep();
    return real_->Barrier();
  }
  void Abort(std::string_view reason) override { real_->Abort(reason); }

 private:
  void Sleep() { std::this_thread::sleep_for(std::chrono::microseconds(delay_(random_))); }

  std::unique_ptr<Communicator> real_;
  std::mt19937_64 random_;
  std::uniform_int_distribution<int64_t> delay_;
};

}  // namespace tunesmith::trainer
