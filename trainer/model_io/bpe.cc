#include "trainer/model_io/bpe.h"

#include <queue>
#include <tuple>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/model_io/byte_alphabet.h"

namespace tunesmith::trainer {
namespace {

constexpr size_t kCachedWordCount = 1 << 16;
constexpr size_t kCachedWordBytes = 64;  // longer words are rare and seldom come again

uint64_t PairKey(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

}  // namespace

struct Bpe::Cache {
  absl::Mutex mutex;
  absl::flat_hash_map<std::string, std::vector<int32_t>> ids_of_word ABSL_GUARDED_BY(mutex);

  bool Append(std::string_view word, std::vector<int32_t>* ids) {
    const absl::MutexLock lock(&mutex);
    const auto at = ids_of_word.find(ToAbsl(word));
    if (at == ids_of_word.end()) return false;
    ids->insert(ids->end(), at->second.begin(), at->second.end());
    return true;
  }

  void Add(std::string_view word, const std::vector<int32_t>& ids) {
    const absl::MutexLock lock(&mutex);
    if (word.size() <= kCachedWordBytes && ids_of_word.size() < kCachedWordCount)
      ids_of_word.emplace(word, ids);
  }
};

// Symbols of one word as a linked list, and the merges that are possible as a heap; stale entries are skipped when they come up.
class Bpe::MergeLoop {
 public:
  MergeLoop(const Bpe& bpe, const std::vector<int32_t>& ids) : bpe_(bpe) {
    const auto count = static_cast<int32_t>(ids.size());
    for (int32_t i = 0; i < count; ++i)
      symbols_.push_back({ids[static_cast<size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1});
    for (int32_t i = 0; i + 1 < count; ++i) Push(i);
  }

  std::vector<int32_t> Run() {
    while (!heap_.empty()) {
      const Candidate candidate = heap_.top();
      heap_.pop();
      const Symbol& left = At(candidate.position);
      if (left.id != candidate.left_id || left.next < 0 || At(left.next).id != candidate.right_id)
        continue;
      Apply(candidate);
    }
    std::vector<int32_t> ids;
    for (int32_t i = symbols_.empty() ? -1 : 0; i >= 0; i = At(i).next) ids.push_back(At(i).id);
    return ids;
  }

 private:
  struct Symbol {
    int32_t id = 0;  // -1: merged into the one before
    int32_t previous = -1;
    int32_t next = -1;
  };
  struct Candidate {
    int32_t rank = 0;
    int32_t position = 0;  // of the left symbol
    int32_t left_id = 0;
    int32_t right_id = 0;
    int32_t merged_id = 0;
    bool operator>(const Candidate& other) const {
      return std::tie(rank, position) > std::tie(other.rank, other.position);
    }
  };

  Symbol& At(int32_t i) { return symbols_[static_cast<size_t>(i)]; }

  void Push(int32_t position) {
    const Symbol& left = At(position);
    if (left.next < 0) return;
    const int32_t right_id = At(left.next).id;
    const Merge* merge = bpe_.FindMerge(left.id, right_id);
    if (merge != nullptr) heap_.push({merge->rank, position, left.id, right_id, merge->merged_id});
  }

  void Apply(const Candidate& candidate) {
    Symbol& left = At(candidate.position);
    Symbol& right = At(left.next);
    left.id = candidate.merged_id;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) At(left.next).previous = candidate.position;
    Push(candidate.position);
    if (left.previous >= 0) Push(left.previous);
  }

  const Bpe& bpe_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap_;
};

Bpe::Bpe() : cache_(std::make_unique<Cache>()) {}
Bpe::Bpe(Bpe&&) noexcept = default;
Bpe& Bpe::operator=(Bpe&&) noexcept = default;
Bpe::~Bpe() = default;

absl::StatusOr<Bpe> Bpe::Create(const TokenizerSpec& spec) {
  Bpe bpe;
  bpe.ignores_merges_ = spec.ignores_merges;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string& token = spec.tokens[id];
    if (token.empty()) continue;
    if (!bpe.id_of_token_.emplace(token, static_cast<int32_t>(id)).second) {
      return absl::InvalidArgumentError(
          StrCat(spec.what, ": two ids have the token \"", token, "\""));
    }
    if (!spec.ignores_merges) continue;
    if (std::optional<std::string> word = BytesOfToken(token))
      bpe.id_of_word_.emplace(*std::move(word), static_cast<int32_t>(id));
  }
  for (size_t byte = 0; byte < bpe.id_of_byte_.size(); ++byte) {
    const auto at = bpe.id_of_token_.find(ToAbsl(CharacterOfByte(static_cast<uint8_t>(byte))));
    bpe.id_of_byte_[byte] =
        at == bpe.id_of_token_.end() ? spec.unknown_id.value_or(-1) : at->second;
  }
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    TUNESMITH_RETURN_IF_ERROR(
        bpe.AddMerge(spec.merges[rank], static_cast<int32_t>(rank), spec.what));
  }
  return bpe;
}

absl::StatusOr<int32_t> Bpe::IdOf(const std::string& token, std::string_view what) const {
  const auto at = id_of_token_.find(token);
  if (at != id_of_token_.end()) return at->second;
  return absl::InvalidArgumentError(
      StrCat(what, ": a merge uses \"", token, "\", which is not in the vocabulary"));
}

absl::Status Bpe::AddMerge(const std::pair<std::string, std::string>& merge, int32_t rank,
                           std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const int32_t left, IdOf(merge.first, what));
  TUNESMITH_ASSIGN_OR_RETURN(const int32_t right, IdOf(merge.second, what));
  TUNESMITH_ASSIGN_OR_RETURN(const int32_t merged, IdOf(merge.first + merge.second, what));
  merges_.insert_or_assign(
      PairKey(left, right),
      Merge{rank, merged});  // as Hugging Face: the last of equal merges counts
  return absl::OkStatus();
}

const Bpe::Merge* Bpe::FindMerge(int32_t left, int32_t right) const {
  const auto at = merges_.find(PairKey(left, right));
  return at == merges_.end() ? nullptr : &at->second;
}

std::vector<int32_t> Bpe::MergeBytes(std::string_view word) const {
  std::vector<int32_t> ids;
  ids.reserve(word.size());
  for (const char c : word) {
    const int32_t id = id_of_byte_[static_cast<uint8_t>(c)];
    if (id >= 0) ids.push_back(id);
  }
  return MergeLoop(*this, ids).Run();
}

void Bpe::Encode(std::string_view word, std::vector<int32_t>* ids) const {
  if (ignores_merges_) {
    if (const auto at = id_of_word_.find(ToAbsl(word)); at != id_of_word_.end()) {
      ids->push_back(at->second);
      return;
    }
  }
  if (cache_->Append(word, ids)) return;
  const std::vector<int32_t> merged = MergeBytes(word);
  cache_->Add(word, merged);
  ids->insert(ids->end(), merged.begin(), merged.end());
}

}  // namespace tunesmith::trainer
