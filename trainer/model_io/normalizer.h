#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/model_io/regex.h"
#include "trainer/model_io/tokenizer_spec.h"

namespace tunesmith::trainer {

// Every match of `pattern` replaced by `content`. Move-only, thread-safe.
class Replacer {
 public:
  // UNIMPLEMENTED for a pattern that is not understood, INVALID_ARGUMENT for an empty one.
  static absl::StatusOr<Replacer> Create(const ReplaceStep& step);

  // REQUIRES: valid UTF-8.
  absl::StatusOr<std::string> Apply(std::string_view text) const;

 private:
  Replacer(ReplaceStep step, std::optional<Regex> regex)
      : step_(std::move(step)), regex_(std::move(regex)) {}

  ReplaceStep step_;
  std::optional<Regex> regex_;  // none for a literal pattern
};

// What a tokenizer does to a text before it cuts it into words. Move-only, thread-safe.
class Normalizer {
 public:
  // UNIMPLEMENTED for a pattern that is not understood.
  static absl::StatusOr<Normalizer> Create(const std::vector<NormalizerStep>& steps);

  bool is_identity() const { return steps_.empty(); }

  // REQUIRES: valid UTF-8. RESOURCE_EXHAUSTED when a pattern's matching gives up.
  absl::StatusOr<std::string> Apply(std::string_view text) const;

 private:
  struct Step {
    NormalizerStep spec;
    std::optional<Replacer> replacer;  // of a ReplaceStep
  };
  static absl::Status ApplyStep(const Step& step, std::string* text);

  std::vector<Step> steps_;
};

}  // namespace tunesmith::trainer
