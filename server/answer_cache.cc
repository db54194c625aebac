#include "server/answer_cache.h"

namespace tunesmith::server {
namespace {

constexpr size_t kEntryOverheadBytes = 200;  // of list, map and buffer, roughly

size_t SizeOf(const std::string& key, const grpc::ByteBuffer& answer) {
  return key.size() + answer.Length() + kEntryOverheadBytes;
}

}  // namespace

std::optional<grpc::ByteBuffer> AnswerCache::Find(const std::string& key) {
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  const auto found = shard.by_key.find(key);
  if (found == shard.by_key.end()) return std::nullopt;
  shard.entries.splice(shard.entries.begin(), shard.entries, found->second);
  return found->second->answer;
}

void AnswerCache::Add(const std::string& key, const grpc::ByteBuffer& answer) {
  Shard& shard = ShardOf(key);
  const size_t size = SizeOf(key, answer);
  std::lock_guard lock(shard.mutex);
  if (size > max_shard_bytes_ || shard.by_key.contains(key)) return;
  shard.entries.push_front({key, answer});
  shard.by_key.emplace(shard.entries.front().key, shard.entries.begin());
  shard.bytes += size;
  while (shard.bytes > max_shard_bytes_) {
    const Entry& last = shard.entries.back();
    shard.bytes -= SizeOf(last.key, last.answer);
    shard.by_key.erase(last.key);
    shard.entries.pop_back();
  }
}

}  // namespace tunesmith::server
