#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/jinja/value.h"

// Python's text functions on UTF-8. REQUIRES: valid UTF-8. Positions and counts are in characters.
namespace tunesmith::trainer::jinja {

bool IsPythonSpace(char32_t character);

int64_t CharacterCount(std::string_view text);
List CharactersOf(std::string_view text);

// repr() of a text.
std::string QuotedAsPython(std::string_view text);

// str.strip and its like: takes characters of `characters` away, or white space where it is null.
struct Ends {
  bool left = true;
  bool right = true;
};
std::string_view Strip(std::string_view text, const std::string* characters, Ends ends);

// str.split and str.rsplit: at `separator`, or at runs of white space where it is null; at most `limit` times where it is not negative.
std::vector<std::string_view> Split(std::string_view text, const std::string* separator,
                                    int64_t limit);
std::vector<std::string_view> SplitFromRight(std::string_view text, const std::string* separator,
                                             int64_t limit);
std::vector<std::string_view> SplitLines(std::string_view text, bool keeps_ends);

std::string Replace(std::string_view text, std::string_view old, std::string_view with,
                    int64_t limit);

std::string Upper(std::string_view text);
std::string Lower(std::string_view text);
std::string Capitalize(std::string_view text);
std::string Title(std::string_view text);

// str.isupper and its like: every character passes and there is one.
bool IsAll(std::string_view text, bool (*passes)(char32_t));
bool IsDecimal(char32_t character);
bool IsLetter(char32_t character);
bool IsLetterOrNumber(char32_t character);
bool HasUpperOnly(std::string_view text);
bool HasLowerOnly(std::string_view text);

}  // namespace tunesmith::trainer::jinja
