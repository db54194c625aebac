#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/model_io/normalizer.h"
#include "trainer/model_io/tokenizer_spec.h"

namespace tunesmith::trainer {

// Tokens' texts to the text they stand for. Move-only, thread-safe.
class TokenDecoder {
 public:
  // UNIMPLEMENTED or INVALID_ARGUMENT for a Replace whose pattern is not understood or empty.
  static absl::StatusOr<TokenDecoder> Create(const std::vector<DecoderStep>& steps);

  // Valid UTF-8, if the tokens are: bytes that make no character become U+FFFD.
  std::string Decode(std::vector<std::string> tokens) const;

 private:
  struct Step {
    DecoderStep spec;
    std::optional<Replacer> replacer;  // of a ReplaceStep
  };
  static void ApplyStep(const Step& step, std::vector<std::string>* texts);

  std::vector<Step> steps_;
};

}  // namespace tunesmith::trainer
