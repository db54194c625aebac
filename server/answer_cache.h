#pragma once

#include <array>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "grpcpp/support/byte_buffer.h"

namespace tunesmith::server {

// Serialized answers by what was asked, the least recently asked for dropped first. Answers are
// shared, not copied. Thread-safe.
class AnswerCache {
 public:
  explicit AnswerCache(size_t max_bytes) : max_shard_bytes_(max_bytes / kShardCount) {}

  std::optional<grpc::ByteBuffer> Find(const std::string& key);
  void Add(const std::string& key, const grpc::ByteBuffer& answer);

 private:
  static constexpr size_t kShardCount = 8;
  struct Entry {
    std::string key;
    grpc::ByteBuffer answer;
  };
  struct Shard {
    std::mutex mutex;
    std::list<Entry> entries;  // asked for last first
    std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key;  // views into entries
    size_t bytes = 0;
  };

  Shard& ShardOf(const std::string& key) {
    return shards_[std::hash<std::string>()(key) % kShardCount];
  }

  const size_t max_shard_bytes_;
  std::array<Shard, kShardCount> shards_;
};

}  // namespace tunesmith::server
