#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// UTF-8 as Unicode chapter 3 (table 3-7) defines it: no overlong forms, no surrogates, at most U+10FFFF.
namespace tunesmith {

// The bytes of the character that `text` begins with, 1 to 4; 0 when they are not valid UTF-8 or `text` is empty.
int64_t Utf8CharacterBytes(std::string_view text);

// The byte offset of the first sequence that is not valid; -1 when all is.
int64_t FirstInvalidUtf8(std::string_view text);

// `text` with every invalid sequence replaced by U+FFFD, one for each maximal part that could have begun a character.
std::string ReplaceInvalidUtf8(std::string_view text);

}  // namespace tunesmith
