#include "trainer/model_io/pre_tokenizer.h"

#include <numeric>
#include <utility>

#include "common/status_macros.h"
#include "trainer/model_io/byte_alphabet.h"

namespace tunesmith::trainer {
namespace {

struct Part {
  size_t begin = 0;
  size_t end = 0;
  bool is_match = false;
};

// Matches and the text between them, covering `size` bytes.
std::vector<Part> AllParts(const std::vector<Regex::Match>& matches, size_t size, bool invert) {
  std::vector<Part> parts;
  size_t at = 0;
  for (const Regex::Match& match : matches) {
    if (match.begin > at) parts.push_back({at, match.begin, invert});
    parts.push_back({match.begin, match.end, !invert});
    at = match.end;
  }
  if (at < size) parts.push_back({at, size, invert});
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

void AppendPieces(const std::vector<Part>& parts, SplitBehavior behavior, size_t offset,
                  std::vector<Words::Range>* ranges) {
  const Part* last = nullptr;
  for (const Part& part : parts) {
    if (behavior == SplitBehavior::kRemoved && part.is_match) continue;
    if (last != nullptr && Joins(behavior, *last, part)) {
      ranges->back().end = offset + part.end;
    } else {
      ranges->push_back({offset + part.begin, offset + part.end});
    }
    last = &part;
  }
}

absl::Status SplitWords(const Regex& regex, SplitBehavior behavior, bool invert, Words* words) {
  std::vector<Words::Range> ranges;
  for (const Words::Range& range : words->ranges) {
    const std::string_view word = words->Word(range);
    TUNESMITH_ASSIGN_OR_RETURN(const std::vector<Regex::Match> matches, regex.FindAll(word));
    AppendPieces(AllParts(matches, word.size(), invert), behavior, range.begin, &ranges);
  }
  words->ranges = std::move(ranges);
  return absl::OkStatus();
}

// Writes every word anew.
class Rewriter {
 public:
  explicit Rewriter(Words* words) : old_(*words) {
    new_.text.reserve(old_.text.size() + old_.text.size() / 4 + 8);
    new_.ranges.reserve(old_.ranges.size());
  }

  // What the byte `at` of the old text becomes, or what is put before it.
  void Append(std::string_view text, size_t at) {
    new_.text.append(text);
    if (!old_.sources.empty()) new_.sources.resize(new_.text.size(), old_.sources[at]);
  }

  void EndWord() {
    if (new_.text.size() > word_begin_) new_.ranges.push_back({word_begin_, new_.text.size()});
    word_begin_ = new_.text.size();
  }

  void Finish() { old_ = std::move(new_); }

 private:
  Words& old_;
  Words new_;
  size_t word_begin_ = 0;
};

void PrependSpaces(Words* words) {
  Rewriter rewriter(words);
  for (const Words::Range& range : words->ranges) {
    if (words->text[range.begin] != ' ') rewriter.Append(" ", range.begin);
    for (size_t i = range.begin; i < range.end; ++i) rewriter.Append({&words->text[i], 1}, i);
    rewriter.EndWord();
  }
  rewriter.Finish();
}

void ToByteAlphabet(Words* words) {
  Rewriter rewriter(words);
  for (const Words::Range& range : words->ranges) {
    for (size_t i = range.begin; i < range.end; ++i)
      rewriter.Append(CharacterOfByte(static_cast<uint8_t>(words->text[i])), i);
    rewriter.EndWord();
  }
  rewriter.Finish();
}

void ReplaceSpaces(const MetaspaceStep& step, bool begins_text, Words* words) {
  Rewriter rewriter(words);
  for (const Words::Range& range : words->ranges) {
    const std::string_view word = words->Word(range);
    const bool prepends =
        step.prepends == PrependScheme::kAlways ||
        (step.prepends == PrependScheme::kFirst && range.begin == 0 && begins_text);
    if (prepends && word[0] != ' ' && !word.starts_with(step.replacement))
      rewriter.Append(step.replacement, range.begin);
    for (size_t i = range.begin; i < range.end; ++i)
      rewriter.Append(
          words->text[i] == ' ' ? step.replacement : std::string_view(&words->text[i], 1), i);
    rewriter.EndWord();
  }
  rewriter.Finish();
}

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::Create(const std::vector<PreTokenizerStep>& steps) {
  PreTokenizer result;
  for (const PreTokenizerStep& step : steps) {
    result.steps_.push_back({step, std::nullopt});
    std::optional<Regex>& regex = result.steps_.back().regex;
    const auto* byte_level = std::get_if<ByteLevelStep>(&step);
    const auto* metaspace = std::get_if<MetaspaceStep>(&step);
    if (const auto* split = std::get_if<SplitStep>(&step)) {
      TUNESMITH_ASSIGN_OR_RETURN(regex, Regex::Compile(split->pattern));
    } else if (byte_level != nullptr && byte_level->splits) {
      TUNESMITH_ASSIGN_OR_RETURN(regex, Regex::Compile({kGpt2Pattern}));
    } else if (metaspace != nullptr && metaspace->splits) {
      TUNESMITH_ASSIGN_OR_RETURN(regex, Regex::Compile({metaspace->replacement, true}));
    }
  }
  return result;
}

absl::Status PreTokenizer::ApplyStep(const Step& step, bool begins_text, Words* words) {
  if (const auto* split = std::get_if<SplitStep>(&step.spec))
    return SplitWords(*step.regex, split->behavior, split->invert, words);
  if (const auto* byte_level = std::get_if<ByteLevelStep>(&step.spec)) {
    if (byte_level->prepends_space) PrependSpaces(words);
    if (step.regex.has_value()) {
      TUNESMITH_RETURN_IF_ERROR(SplitWords(*step.regex, SplitBehavior::kIsolated, false, words));
    }
    ToByteAlphabet(words);
    return absl::OkStatus();
  }
  ReplaceSpaces(std::get<MetaspaceStep>(step.spec), begins_text, words);
  if (!step.regex.has_value()) return absl::OkStatus();
  return SplitWords(*step.regex, SplitBehavior::kMergedWithNext, false, words);
}

absl::StatusOr<Words> PreTokenizer::Split(std::string_view text, bool begins_text,
                                          bool tracks_sources) const {
  Words words{.text = std::string(text), .ranges = {}, .sources = {}};
  if (!text.empty()) words.ranges.push_back({0, text.size()});
  if (tracks_sources) {
    words.sources.resize(text.size());
    std::iota(words.sources.begin(), words.sources.end(), 0);
  }
  for (const Step& step : steps_) TUNESMITH_RETURN_IF_ERROR(ApplyStep(step, begins_text, &words));
  return words;
}

}  // namespace tunesmith::trainer
