#include "trainer/model_io/pre_tokenizer.h"

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

// Writes every word anew; `append` writes the one at an index.
template <typename Append>
void Rewrite(Words* words, const Append& append) {
  Words result;
  result.text.reserve(words->text.size() + words->text.size() / 4 + 8);
  result.ranges.reserve(words->ranges.size());
  for (size_t i = 0; i < words->ranges.size(); ++i) {
    const size_t begin = result.text.size();
    append(i, words->Word(words->ranges[i]), &result.text);
    if (result.text.size() > begin) result.ranges.push_back({begin, result.text.size()});
  }
  *words = std::move(result);
}

void PrependSpaces(Words* words) {
  Rewrite(words, [](size_t, std::string_view word, std::string* text) {
    if (word[0] != ' ') text->push_back(' ');
    text->append(word);
  });
}

void ToByteAlphabet(Words* words) {
  Rewrite(words, [](size_t, std::string_view word, std::string* text) {
    for (const char c : word) text->append(CharacterOfByte(static_cast<uint8_t>(c)));
  });
}

void ReplaceSpaces(const MetaspaceStep& step, bool begins_text, Words* words) {
  const bool first_begins_text =
      begins_text && !words->ranges.empty() && words->ranges[0].begin == 0;
  Rewrite(words, [&](size_t index, std::string_view word, std::string* text) {
    const bool prepends =
        step.prepends == PrependScheme::kAlways ||
        (step.prepends == PrependScheme::kFirst && index == 0 && first_begins_text);
    if (prepends && word[0] != ' ' && !word.starts_with(step.replacement))
      text->append(step.replacement);
    for (const char c : word) {
      if (c == ' ') {
        text->append(step.replacement);
      } else {
        text->push_back(c);
      }
    }
  });
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

absl::StatusOr<Words> PreTokenizer::Split(std::string_view text, bool begins_text) const {
  Words words{.text = std::string(text), .ranges = {}};
  if (!text.empty()) words.ranges.push_back({0, text.size()});
  for (const Step& step : steps_) TUNESMITH_RETURN_IF_ERROR(ApplyStep(step, begins_text, &words));
  return words;
}

}  // namespace tunesmith::trainer
