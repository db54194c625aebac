#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/model_io/tokenizer_spec.h"

namespace tunesmith::trainer {

// A pattern of a tokenizer's pre-tokenizer, as Hugging Face tokenizers write them for Oniguruma, run by PCRE2 with Unicode properties. Move-only,
// thread-safe.
class Regex {
 public:
  struct Match {
    size_t begin = 0;
    size_t end = 0;
  };

  // UNIMPLEMENTED for what PCRE2 does not understand, with its reason.
  static absl::StatusOr<Regex> Compile(const TextPattern& pattern);

  // All matches that are not empty, left to right. REQUIRES: `text` is valid UTF-8. RESOURCE_EXHAUSTED when the engine gives up.
  absl::StatusOr<std::vector<Match>> FindAll(std::string_view text) const;

 private:
  struct Code;
  static absl::StatusOr<Regex> CompilePcre(const std::string& pattern,
                                           const std::string& translated, uint32_t options);
  explicit Regex(std::shared_ptr<const Code> code) : code_(std::move(code)) {}
  std::shared_ptr<const Code> code_;
};

}  // namespace tunesmith::trainer
