#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/model_io/regex.h"
#include "trainer/model_io/tokenizer_spec.h"

namespace tunesmith::trainer {

// The words of a text, in the characters that the vocabulary is written in.
struct Words {
  struct Range {
    size_t begin = 0;
    size_t end = 0;
  };
  std::string text;
  std::vector<Range> ranges;  // in `text`, ascending, none empty
  // For each byte of `text` where in the text that was split it comes from, where that was asked for.
  std::vector<size_t> sources;

  std::string_view Word(const Range& range) const {
    return std::string_view(text).substr(range.begin, range.end - range.begin);
  }
};

// Cuts a text into the words that BPE merges within. Move-only, thread-safe.
class PreTokenizer {
 public:
  // UNIMPLEMENTED for a pattern that the regex engine does not understand.
  static absl::StatusOr<PreTokenizer> Create(const std::vector<PreTokenizerStep>& steps);

  // `begins_text`: nothing of what is encoded lies before `text`. REQUIRES: `text` is valid UTF-8. RESOURCE_EXHAUSTED when a pattern's
  // matching gives up.
  absl::StatusOr<Words> Split(std::string_view text, bool begins_text,
                              bool tracks_sources = false) const;

 private:
  struct Step {
    PreTokenizerStep spec;
    std::optional<Regex> regex;  // of every step that splits
  };
  static absl::Status ApplyStep(const Step& step, bool begins_text, Words* words);

  std::vector<Step> steps_;
};

}  // namespace tunesmith::trainer
