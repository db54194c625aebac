#include "trainer/model_io/tokenizer_spec.h"

#include <algorithm>

namespace tunesmith::trainer {

int64_t VocabSize(const TokenizerSpec& spec) {
  auto size = static_cast<int64_t>(spec.tokens.size());
  for (const AddedToken& token : spec.added_tokens) size = std::max(size, int64_t{token.id} + 1);
  return size;
}

std::string_view TokenText(const TokenizerSpec& spec, int64_t id) {
  for (const AddedToken& token : spec.added_tokens) {
    if (token.id == id) return token.content;
  }
  if (id < 0 || id >= static_cast<int64_t>(spec.tokens.size())) return {};
  return spec.tokens[static_cast<size_t>(id)];
}

std::optional<int32_t> FindToken(const TokenizerSpec& spec, std::string_view text) {
  for (const AddedToken& token : spec.added_tokens) {
    if (token.content == text) return token.id;
  }
  const auto at = std::find(spec.tokens.begin(), spec.tokens.end(), text);
  if (at == spec.tokens.end()) return std::nullopt;
  return static_cast<int32_t>(at - spec.tokens.begin());
}

}  // namespace tunesmith::trainer
