#pragma once

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/model_io/regex.h"
#include "trainer/model_io/tokenizer_spec.h"

namespace tunesmith::trainer {

// Cuts a text into the words that BPE merges within. Move-only, thread-safe.
class PreTokenizer {
 public:
  // UNIMPLEMENTED for a pattern that the regex engine does not understand.
  static absl::StatusOr<PreTokenizer> Create(const std::vector<SplitStep>& steps);

  // The words, pointing into `text`. REQUIRES: `text` is valid UTF-8.
  absl::StatusOr<std::vector<std::string_view>> Split(std::string_view text) const;

 private:
  struct Step {
    SplitStep spec;
    Regex regex;
  };
  static absl::Status SplitPiece(const Step& step, std::string_view piece,
                                 std::vector<std::string_view>* pieces);

  std::vector<Step> steps_;
};

}  // namespace tunesmith::trainer
