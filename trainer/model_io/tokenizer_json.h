#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/model_io/tokenizer_spec.h"

namespace tunesmith::trainer {

// From the text of a tokenizer.json; `what` names it in messages. bos_id and eos_id are not set: that file does not tell. INVALID_ARGUMENT names a
// missing or wrong field; UNIMPLEMENTED names a kind of model, normalizer, pre-tokenizer, post-processor or option that is not known here.
absl::StatusOr<TokenizerSpec> TokenizerSpecFromJson(std::string_view text, std::string_view what);

// A tokenizer.json that Hugging Face tokenizers load as this tokenizer.
std::string TokenizerJsonFromSpec(const TokenizerSpec& spec);

}  // namespace tunesmith::trainer
