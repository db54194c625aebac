#include "trainer/model_io/pre_tokenizer.h"

#include <utility>

#include "common/status_macros.h"

namespace tunesmith::trainer {
namespace {

struct Part {
  size_t begin = 0;
  size_t end = 0;
  bool is_match = false;
};

// Matches and the text between them, covering `text`.
std::vector<Part> AllParts(const std::vector<Regex::Match>& matches, std::string_view text,
                           bool invert) {
  std::vector<Part> parts;
  size_t at = 0;
  for (const Regex::Match& match : matches) {
    if (match.begin > at) parts.push_back({at, match.begin, invert});
    parts.push_back({match.begin, match.end, !invert});
    at = match.end;
  }
  if (at < text.size()) parts.push_back({at, text.size(), invert});
  return parts;
}

// Whether `next` continues the piece that ends with `last`.
bool Joins(SplitBehavior behavior, const Part& last, const Part& next) {
  switch (behavior) {
    case SplitBehavior::kContiguous:
      return last.is_match == next.is_match;
    case SplitBehavior::kMergedWithPrevious:
      return next.is_match && !last.is_match;
    case SplitBehavior::kMergedWithNext:
      return last.is_match && !next.is_match;
    case SplitBehavior::kIsolated:
    case SplitBehavior::kRemoved:
      return false;
  }
  return false;
}

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::Create(const std::vector<SplitStep>& steps) {
  PreTokenizer result;
  for (const SplitStep& step : steps) {
    TUNESMITH_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(step.pattern));
    result.steps_.push_back({step, std::move(regex)});
  }
  return result;
}

absl::Status PreTokenizer::SplitPiece(const Step& step, std::string_view piece,
                                      std::vector<std::string_view>* pieces) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<Regex::Match> matches, step.regex.FindAll(piece));
  const SplitBehavior behavior = step.spec.behavior;
  const Part* last = nullptr;
  const std::vector<Part> parts = AllParts(matches, piece, step.spec.invert);
  for (const Part& part : parts) {
    if (behavior == SplitBehavior::kRemoved && part.is_match) continue;
    const std::string_view text = piece.substr(part.begin, part.end - part.begin);
    if (last != nullptr && Joins(behavior, *last, part)) {
      pieces->back() = {pieces->back().data(), pieces->back().size() + text.size()};
    } else {
      pieces->push_back(text);
    }
    last = &part;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string_view>> PreTokenizer::Split(std::string_view text) const {
  std::vector<std::string_view> pieces;
  if (!text.empty()) pieces.push_back(text);
  for (const Step& step : steps_) {
    std::vector<std::string_view> next;
    for (const std::string_view piece : pieces)
      TUNESMITH_RETURN_IF_ERROR(SplitPiece(step, piece, &next));
    pieces = std::move(next);
  }
  return pieces;
}

}  // namespace tunesmith::trainer
