#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// Numbers in text that people or other programs wrote. Strict: the whole text must be the number,
// without blanks, a leading plus sign or a locale.
namespace tunesmith {

// True and `*value` set if `text` is a decimal integer that fits; else false and `*value`
// untouched.
bool ParseInt64(std::string_view text, int64_t* value);

// True and `*value` set if `text` is a finite decimal number ("0.5", "1e-5"); else false and
// `*value` untouched.
bool ParseDouble(std::string_view text, double* value);

// The shortest text that ParseDouble reads back as the same number.
std::string FormatDouble(double value);

}  // namespace tunesmith
