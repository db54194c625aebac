#include "trainer/jinja/python_text.h"

#include <utf8proc.h>

#include <algorithm>

#include "common/str_cat.h"
#include "common/utf8.h"
#include "trainer/model_io/unicode_text.h"

namespace tunesmith::trainer::jinja {
namespace {

using Pieces = std::vector<std::string_view>;

bool IsIn(std::string_view characters, char32_t c) {
  for (; !characters.empty(); characters = WithoutFirst(characters)) {
    if (FirstCharacter(characters) == c) return true;
  }
  return false;
}

bool IsStripped(const std::string* characters, char32_t c) {
  return characters == nullptr ? IsPythonSpace(c) : IsIn(*characters, c);
}

utf8proc_category_t CategoryOf(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool IsUpper(char32_t c) {
  return CategoryOf(c) == UTF8PROC_CATEGORY_LU || CategoryOf(c) == UTF8PROC_CATEGORY_LT;
}
bool IsLower(char32_t c) { return CategoryOf(c) == UTF8PROC_CATEGORY_LL; }
bool IsCased(char32_t c) { return IsUpper(c) || IsLower(c); }

void AppendUpper(char32_t c, std::string* text) {
  if (c == 0xdf) {  // the one that Western text meets whose capital is two letters
    text->append("SS");
    return;
  }
  AppendUtf8(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))), text);
}

bool IsPrintable(char32_t c) {
  switch (CategoryOf(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return c == ' ';
    default:
      return true;
  }
}

std::string Hexadecimal(char32_t c, size_t digit_count) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string digits(digit_count, '0');
  for (size_t i = digit_count; i > 0; --i, c >>= 4) digits[i - 1] = kDigits[c & 15];
  return digits;
}

std::string EscapedAsPython(char32_t c) {
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  if (c < 0x100) return StrCat("\\x", Hexadecimal(c, 2));
  return c < 0x10000 ? StrCat("\\u", Hexadecimal(c, 4)) : StrCat("\\U", Hexadecimal(c, 8));
}

bool IsLineBreak(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

std::string_view SkipSpaces(std::string_view text) { return Strip(text, nullptr, {true, false}); }

Pieces SplitAtSpaces(std::string_view text, int64_t limit) {
  Pieces pieces;
  for (text = SkipSpaces(text); !text.empty(); text = SkipSpaces(text)) {
    if (limit >= 0 && static_cast<int64_t>(pieces.size()) == limit) {
      pieces.push_back(text);  // the rest as it is, but for the spaces before it
      return pieces;
    }
    std::string_view rest = text;
    while (!rest.empty() && !IsPythonSpace(FirstCharacter(rest))) rest = WithoutFirst(rest);
    pieces.push_back(text.substr(0, text.size() - rest.size()));
    text = rest;
  }
  return pieces;
}

Pieces SplitAtSpacesFromRight(std::string_view text, int64_t limit) {
  Pieces pieces;
  const auto trim = [](std::string_view t) { return Strip(t, nullptr, {false, true}); };
  for (text = trim(text); !text.empty(); text = trim(text)) {
    std::string_view rest = text;
    const bool takes_all = limit >= 0 && static_cast<int64_t>(pieces.size()) == limit;
    while (!rest.empty() && (takes_all || !IsPythonSpace(LastCharacter(rest))))
      rest = WithoutLast(rest);
    pieces.push_back(text.substr(rest.size()));
    text = rest;
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

}  // namespace

bool IsPythonSpace(char32_t c) { return IsWhiteSpace(c) || (c >= 0x1c && c <= 0x1f); }

int64_t CharacterCount(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; });
}

List CharactersOf(std::string_view text) {
  List characters;
  while (!text.empty()) {
    const auto size = static_cast<size_t>(Utf8CharacterBytes(text));
    characters.emplace_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return characters;
}

std::string QuotedAsPython(std::string_view text) {
  const char quote =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"'
                                                                                            : '\'';
  std::string result(1, quote);
  for (; !text.empty(); text = WithoutFirst(text)) {
    const char32_t c = FirstCharacter(text);
    if (c == '\\' || c == static_cast<char32_t>(quote)) result += '\\';
    if (IsPrintable(c)) {
      AppendUtf8(c, &result);
    } else {
      result += EscapedAsPython(c);
    }
  }
  return result + quote;
}

std::string_view Strip(std::string_view text, const std::string* characters, Ends ends) {
  while (ends.left && !text.empty() && IsStripped(characters, FirstCharacter(text)))
    text = WithoutFirst(text);
  while (ends.right && !text.empty() && IsStripped(characters, LastCharacter(text)))
    text = WithoutLast(text);
  return text;
}

Pieces Split(std::string_view text, const std::string* separator, int64_t limit) {
  if (separator == nullptr) return SplitAtSpaces(text, limit);
  Pieces pieces;
  while (limit < 0 || static_cast<int64_t>(pieces.size()) < limit) {
    const size_t at = text.find(*separator);
    if (at == std::string_view::npos) break;
    pieces.push_back(text.substr(0, at));
    text.remove_prefix(at + separator->size());
  }
  pieces.push_back(text);
  return pieces;
}

Pieces SplitFromRight(std::string_view text, const std::string* separator, int64_t limit) {
  if (separator == nullptr) return SplitAtSpacesFromRight(text, limit);
  Pieces pieces;
  while (limit < 0 || static_cast<int64_t>(pieces.size()) < limit) {
    const size_t at = text.rfind(*separator);
    if (at == std::string_view::npos) break;
    pieces.push_back(text.substr(at + separator->size()));
    text = text.substr(0, at);
  }
  pieces.push_back(text);
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

Pieces SplitLines(std::string_view text, bool keeps_ends) {
  Pieces lines;
  while (!text.empty()) {
    std::string_view rest = text;
    while (!rest.empty() && !IsLineBreak(FirstCharacter(rest))) rest = WithoutFirst(rest);
    const size_t size = text.size() - rest.size();
    if (rest.starts_with("\r\n")) {
      rest.remove_prefix(2);
    } else if (!rest.empty()) {
      rest = WithoutFirst(rest);
    }
    lines.push_back(text.substr(0, keeps_ends ? text.size() - rest.size() : size));
    text = rest;
  }
  return lines;
}

std::string Replace(std::string_view text, std::string_view old, std::string_view with,
                    int64_t limit) {
  std::string result;
  int64_t count = 0;
  if (old.empty()) {  // between all characters
    for (; limit < 0 || count < limit; ++count) {
      result += with;
      if (text.empty()) return result;
      const std::string_view rest = WithoutFirst(text);
      result += text.substr(0, text.size() - rest.size());
      text = rest;
    }
    return result.append(text);
  }
  for (; limit < 0 || count < limit; ++count) {
    const size_t at = text.find(old);
    if (at == std::string_view::npos) break;
    result.append(text.substr(0, at)).append(with);
    text.remove_prefix(at + old.size());
  }
  return result.append(text);
}

std::string Upper(std::string_view text) {
  std::string result;
  for (; !text.empty(); text = WithoutFirst(text)) AppendUpper(FirstCharacter(text), &result);
  return result;
}

std::string Lower(std::string_view text) {
  std::string result;
  for (; !text.empty(); text = WithoutFirst(text)) AppendLowercase(FirstCharacter(text), &result);
  return result;
}

std::string Capitalize(std::string_view text) {
  if (text.empty()) return "";
  const std::string_view rest = WithoutFirst(text);
  return Upper(text.substr(0, text.size() - rest.size())) + Lower(rest);
}

std::string Title(std::string_view text) {
  std::string result;
  bool in_word = false;
  for (; !text.empty(); text = WithoutFirst(text)) {
    const char32_t c = FirstCharacter(text);
    if (in_word) {
      AppendLowercase(c, &result);
    } else {
      AppendUpper(c, &result);
    }
    in_word = IsCased(c);
  }
  return result;
}

bool IsAll(std::string_view text, bool (*passes)(char32_t)) {
  if (text.empty()) return false;
  for (; !text.empty(); text = WithoutFirst(text)) {
    if (!passes(FirstCharacter(text))) return false;
  }
  return true;
}

bool IsDecimal(char32_t c) { return CategoryOf(c) == UTF8PROC_CATEGORY_ND; }

bool IsLetter(char32_t c) {
  return CategoryOf(c) >= UTF8PROC_CATEGORY_LU && CategoryOf(c) <= UTF8PROC_CATEGORY_LO;
}

bool IsLetterOrNumber(char32_t c) {
  return IsLetter(c) || IsDecimal(c) || CategoryOf(c) == UTF8PROC_CATEGORY_NL ||
         CategoryOf(c) == UTF8PROC_CATEGORY_NO;
}

bool HasUpperOnly(std::string_view text) { return text == Upper(text) && text != Lower(text); }
bool HasLowerOnly(std::string_view text) { return text == Lower(text) && text != Upper(text); }

}  // namespace tunesmith::trainer::jinja
