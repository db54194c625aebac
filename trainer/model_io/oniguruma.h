#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tunesmith::trainer {

// A pattern of Oniguruma's syntax, which tokenizer.json files are written in, as PCRE2 (UTF, UCP, MULTILINE) understands it. What differs:
//   \s \S \w \W \h    are spelled out (PCRE2's \s has U+180E besides, its \w lacks marks, its \h is blank space, not a digit)
//   [a[bc]]           a class in a class is their union; PCRE2 takes the inner bracket for a character
//   [a&&[^b]]         intersections become a look-ahead and a class
//   \p{Han}           is a script; PCRE2 takes it for the script's extensions
//   x{1,3}+           repeats the repetition; PCRE2 takes the plus for "possessive"
// UNIMPLEMENTED for what has no such translation.
absl::StatusOr<std::string> PcreFromOniguruma(std::string_view pattern);

}  // namespace tunesmith::trainer
