#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tunesmith::trainer::jinja {

enum class TokenKind {
  kText,      // of the template itself
  kBlock,     // "{%"
  kBlockEnd,  // "%}"
  kPrint,     // "{{"
  kPrintEnd,  // "}}"
  kName,
  kString,  // `text` is its value
  kInteger,
  kReal,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int64_t line = 1;
};

// A template's tokens, ending with kEnd; comments are left out. White space is controlled as transformers sets Jinja up: trim_blocks, lstrip_blocks, the
// signs in "{%-" and "{%+", and one line break at the template's end goes. INVALID_ARGUMENT says what is wrong and in which line. REQUIRES: valid UTF-8.
absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source);

}  // namespace tunesmith::trainer::jinja
