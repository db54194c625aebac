#include "trainer/model_io/unicode_text.h"

#include <utf8proc.h>

#include "common/utf8.h"

namespace tunesmith::trainer {
namespace {

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }

// Letters in circles and squares: Alphabetic, though their category is So.
bool IsEnclosedLetter(char32_t c) {
  return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
         (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

}  // namespace

char32_t FirstCharacter(std::string_view text) {
  utf8proc_int32_t character = 0;
  utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &character);
  return static_cast<char32_t>(character);
}

char32_t LastCharacter(std::string_view text) {
  return FirstCharacter(text.substr(WithoutLast(text).size()));
}

std::string_view WithoutFirst(std::string_view text) {
  return text.substr(static_cast<size_t>(Utf8CharacterBytes(text)));
}

std::string_view WithoutLast(std::string_view text) {
  size_t size = text.size() - 1;
  while (size > 0 && IsContinuation(text[size])) --size;
  return text.substr(0, size);
}

void AppendUtf8(char32_t character, std::string* text) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t size =
      utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes);
  text->append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

bool IsWhiteSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool IsWordCharacter(char32_t c) {
  if (c == 0x200c || c == 0x200d || IsEnclosedLetter(c)) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

void AppendLowercase(char32_t character, std::string* text) {
  // The one character that becomes two (SpecialCasing.txt, without conditions).
  if (character == 0x130) {
    text->append("i\u0307");
    return;
  }
  AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(character))),
             text);
}

std::string_view TrimLeft(std::string_view text) {
  while (!text.empty() && IsWhiteSpace(FirstCharacter(text))) text = WithoutFirst(text);
  return text;
}

std::string_view TrimRight(std::string_view text) {
  while (!text.empty() && IsWhiteSpace(LastCharacter(text))) text = WithoutLast(text);
  return text;
}

}  // namespace tunesmith::trainer
