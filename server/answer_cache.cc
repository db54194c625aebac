#include "server/answer_cache.h"

#include "server/operations/metrics.h"

namespace tunesmith::server {
namespace {

constexpr size_t kEntryOverheadBytes = 200;  // of list, map and buffer, roughly

size_t SizeOf(const std::string& key, const grpc::ByteBuffer& answer) {
  return key.size() + answer.Length() + kEntryOverheadBytes;
}

Counter& Lookups(const char* result) {
  return ProcessMetrics().CounterOf("tunesmith_answer_cache_lookups_total",
                                    "Questions that were looked up among known answers.",
                                    {{"result", result}});
}

}  // namespace

std::optional<grpc::ByteBuffer> AnswerCache::Find(const std::string& key) {
  static Counter& hits = Lookups("hit");
  static Counter& misses = Lookups("miss");
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  const auto found = shard.by_key.find(key);
  (found == shard.by_key.end() ? misses : hits).Add();
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
