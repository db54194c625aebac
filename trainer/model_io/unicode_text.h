#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// Characters of UTF-8 texts and their Unicode properties. All texts: REQUIRES valid UTF-8.
namespace tunesmith::trainer {

// The character that `text` begins or ends with. REQUIRES: not empty.
char32_t FirstCharacter(std::string_view text);
char32_t LastCharacter(std::string_view text);

// The text without its first or last character. REQUIRES: not empty.
std::string_view WithoutFirst(std::string_view text);
std::string_view WithoutLast(std::string_view text);

void AppendUtf8(char32_t character, std::string* text);

bool IsWhiteSpace(char32_t character);     // White_Space
bool IsWordCharacter(char32_t character);  // \w of UTS 18: letters, marks, digits, connectors
void AppendLowercase(char32_t character, std::string* text);  // full mapping, without context

std::string_view TrimLeft(std::string_view text);
std::string_view TrimRight(std::string_view text);

}  // namespace tunesmith::trainer
