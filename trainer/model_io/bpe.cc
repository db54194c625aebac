#include "trainer/model_io/bpe.h"

#include <algorithm>
#include <queue>
#include <tuple>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/utf8.h"

namespace tunesmith::trainer {
namespace {

constexpr size_t kCachedWordCount = 1 << 16;
constexpr size_t kCachedWordBytes = 64;        // longer words are rare and seldom come again
constexpr std::string_view kSpace = "\u2581";  // of SentencePiece-style vocabularies

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
  bpe.fuses_unknown_ = spec.fuses_unknown;
  bpe.unknown_id_ = spec.unknown_id.value_or(-1);
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string& token = spec.tokens[id];
    if (!token.empty() && !bpe.id_of_token_.emplace(token, static_cast<int32_t>(id)).second) {
      return absl::InvalidArgumentError(
          StrCat(spec.what, ": two ids have the token \"", token, "\""));
    }
  }
  for (const std::string& token : spec.tokens) bpe.size_of_id_.push_back(token.size());
  if (spec.falls_back_to_bytes) bpe.FindByteTokens();
  if (spec.unknown_id.has_value() && *spec.unknown_id < static_cast<int64_t>(spec.tokens.size()))
    bpe.size_of_id_[static_cast<size_t>(*spec.unknown_id)] = 0;
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    TUNESMITH_RETURN_IF_ERROR(
        bpe.AddMerge(spec.merges[rank], static_cast<int32_t>(rank), spec.what));
  }
  bpe.cuts_at_spaces_ = bpe.NoTokenCrossesASpace(spec.merges);
  return bpe;
}

void Bpe::FindByteTokens() {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (size_t byte = 0; byte < id_of_byte_.size(); ++byte) {
    const char token[] = {'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'};
    id_of_byte_[byte] = Find({token, sizeof(token)});
    if (id_of_byte_[byte] >= 0) size_of_id_[static_cast<size_t>(id_of_byte_[byte])] = 1;
  }
}

bool Bpe::NoTokenCrossesASpace(
    const std::vector<std::pair<std::string, std::string>>& merges) const {
  if (ignores_merges_ || Find(kSpace) < 0) return false;
  return std::none_of(merges.begin(), merges.end(), [](const auto& merge) {
    return !merge.first.ends_with(kSpace) && merge.second.starts_with(kSpace);
  });
}

int32_t Bpe::Find(std::string_view token) const {
  const auto at = id_of_token_.find(ToAbsl(token));
  return at == id_of_token_.end() ? -1 : at->second;
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

// The symbols that a word begins as, in the order and with the unknown tokens that Hugging Face's BPE::merge_word gives.
class Bpe::SymbolList {
 public:
  explicit SymbolList(const Bpe& bpe) : bpe_(bpe) {}

  void Add(std::string_view character) {
    if (const int32_t id = bpe_.Find(character); id >= 0) {
      EndUnknown();
      ids_.push_back(id);
    } else if (!AddBytes(character) && bpe_.unknown_id_ >= 0) {
      if (!bpe_.fuses_unknown_) EndUnknown();
      has_unknown_ = true;
    }
  }

  std::vector<int32_t> Finish() {
    EndUnknown();
    return std::move(ids_);
  }

 private:
  void EndUnknown() {
    if (has_unknown_) ids_.push_back(bpe_.unknown_id_);
    has_unknown_ = false;
  }

  // False where not every byte of the character has a token.
  bool AddBytes(std::string_view character) {
    const auto id_of = [&](char c) { return bpe_.id_of_byte_[static_cast<uint8_t>(c)]; };
    if (!std::all_of(character.begin(), character.end(), [&](char c) { return id_of(c) >= 0; }))
      return false;
    for (const char c : character) ids_.push_back(id_of(c));
    return true;
  }

  const Bpe& bpe_;
  std::vector<int32_t> ids_;
  bool has_unknown_ = false;
};

std::vector<int32_t> Bpe::MergeWord(std::string_view word) const {
  SymbolList symbols(*this);
  while (!word.empty()) {
    const auto size = static_cast<size_t>(Utf8CharacterBytes(word));
    symbols.Add(word.substr(0, size));
    word.remove_prefix(size);
  }
  return MergeLoop(*this, symbols.Finish()).Run();
}

void Bpe::EncodeCached(std::string_view word, std::vector<int32_t>* ids) const {
  if (cache_->Append(word, ids)) return;
  const std::vector<int32_t> merged = MergeWord(word);
  cache_->Add(word, merged);
  ids->insert(ids->end(), merged.begin(), merged.end());
}

void Bpe::Encode(std::string_view word, std::vector<int32_t>* ids) const {
  if (ignores_merges_) {
    if (const int32_t id = Find(word); id >= 0) {
      ids->push_back(id);
      return;
    }
  }
  if (!cuts_at_spaces_) {
    EncodeCached(word, ids);
    return;
  }
  while (!word.empty()) {
    const size_t end = EndOfPart(word);
    EncodeCached(word.substr(0, end), ids);
    word.remove_prefix(end);
  }
}

size_t Bpe::SizeOf(int32_t id, std::string_view rest) const {
  const auto at = static_cast<size_t>(id);
  const size_t size = at < size_of_id_.size() ? size_of_id_[at] : 0;
  return size > 0 ? size : static_cast<size_t>(Utf8CharacterBytes(rest));
}

size_t Bpe::EndOfPart(std::string_view word) {
  size_t at = word.starts_with(kSpace) ? kSpace.size() : 0;
  while (word.substr(at).starts_with(kSpace)) at += kSpace.size();
  return std::min(word.find(kSpace, at), word.size());
}

}  // namespace tunesmith::trainer
