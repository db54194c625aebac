#include "trainer/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/jinja/python_text.h"
#include "trainer/model_io/unicode_text.h"

namespace tunesmith::trainer::jinja {
namespace {

constexpr std::array<std::string_view, 6> kLongOperators = {"//", "**", "==", "!=", "<=", ">="};
constexpr std::string_view kOperators = "+-*/%~<>=()[]{},.:|";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsNameCharacter(char c) { return IsNameStart(c) || IsDigit(c); }

int HexadecimalDigit(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (at_ < source_.size()) TUNESMITH_RETURN_IF_ERROR(TextAndTag());
    Add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  absl::Status Wrong(std::string_view what) const {
    return absl::InvalidArgumentError(StrCat("line ", line_, ": ", what));
  }

  bool Sees(std::string_view text) const {
    return std::string_view(source_).substr(at_).starts_with(text);
  }

  void Add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  // Moves on, counting lines.
  void Advance(size_t size) {
    const auto begin = source_.begin() + static_cast<std::ptrdiff_t>(at_);
    line_ += std::count(begin, begin + static_cast<std::ptrdiff_t>(size), '\n');
    at_ += size;
  }

  size_t NextTag() const {
    size_t at = source_.find('{', at_);
    while (at != std::string::npos &&
           (at + 1 == source_.size() ||
            std::string_view("%{#").find(source_[at + 1]) == std::string_view::npos))
      at = source_.find('{', at + 1);
    return std::min(at, source_.size());
  }

  absl::Status TextAndTag() {
    const size_t tag = NextTag();
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    if (tag < source_.size()) text = BeforeTag(text, source_[tag + 1], tag);
    if (!text.empty()) Add(TokenKind::kText, std::string(text));
    Advance(tag - at_);
    if (tag == source_.size()) return absl::OkStatus();
    const char kind = source_[tag + 1];
    const bool has_sign =
        tag + 2 < source_.size() && (source_[tag + 2] == '-' || source_[tag + 2] == '+');
    if (kind != '#') Add(kind == '%' ? TokenKind::kBlock : TokenKind::kPrint, "");
    Advance(has_sign ? 3 : 2);
    return kind == '#' ? Comment() : Inside(kind == '%');
  }

  // What the tag leaves of the text before it.
  std::string_view BeforeTag(std::string_view text, char kind, size_t tag) const {
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    if (sign == '-') return Strip(text, nullptr, {false, true});
    if (sign == '+' || kind == '{') return text;
    const size_t line_begin = text.rfind('\n') == std::string_view::npos ? 0 : text.rfind('\n') + 1;
    if (line_begin == 0 && at_ > 0 && source_[at_ - 1] != '\n') return text;
    const std::string_view indent = text.substr(line_begin);
    return Strip(indent, nullptr, {}).empty() ? text.substr(0, line_begin) : text;
  }

  // Behind a tag's end.
  void AfterTag(bool strips, bool trims_line) {
    const std::string_view rest = std::string_view(source_).substr(at_);
    if (strips) {
      Advance(rest.size() - Strip(rest, nullptr, {true, false}).size());
    } else if (trims_line && rest.starts_with('\n')) {
      Advance(1);
    }
  }

  absl::Status Comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) return Wrong("a comment {# without its end #}");
    const char sign = end > at_ ? source_[end - 1] : ' ';
    Advance(end + 2 - at_);
    AfterTag(sign == '-', sign != '+');
    return absl::OkStatus();
  }

  // The tokens up to the end of a tag.
  absl::Status Inside(bool is_block) {
    const std::string_view end = is_block ? "%}" : "}}";
    int64_t open_count = 0;
    for (;;) {
      SkipSpaces();
      if (at_ == source_.size())
        return Wrong(StrCat("the template ends inside of a tag; its end ", end, " is missing"));
      if (open_count == 0 && TryEnd(is_block, end)) return absl::OkStatus();
      const char c = source_[at_];
      if (c == '(' || c == '[' || c == '{') ++open_count;
      if ((c == ')' || c == ']' || c == '}') && open_count > 0) --open_count;
      TUNESMITH_RETURN_IF_ERROR(Next());
    }
  }

  void SkipSpaces() {
    const std::string_view rest = std::string_view(source_).substr(at_);
    Advance(rest.size() - Strip(rest, nullptr, {true, false}).size());
  }

  bool TryEnd(bool is_block, std::string_view end) {
    const bool strips = Sees(StrCat("-", end));
    const bool keeps = is_block && Sees(StrCat("+", end));
    if (!strips && !keeps && !Sees(end)) return false;
    Advance(end.size() + (strips || keeps ? 1 : 0));
    Add(is_block ? TokenKind::kBlockEnd : TokenKind::kPrintEnd, "");
    AfterTag(strips, is_block && !keeps);
    return true;
  }

  absl::Status Next() {
    const char c = source_[at_];
    if (c == '"' || c == '\'') return String(c);
    if (IsDigit(c)) return Number();
    if (IsNameStart(c)) {
      size_t end = at_;
      while (end < source_.size() && IsNameCharacter(source_[end])) ++end;
      Add(TokenKind::kName, source_.substr(at_, end - at_));
      at_ = end;
      return absl::OkStatus();
    }
    return Operator();
  }

  absl::Status Operator() {
    for (const std::string_view known : kLongOperators) {
      if (!Sees(known)) continue;
      Add(TokenKind::kOperator, std::string(known));
      at_ += known.size();
      return absl::OkStatus();
    }
    if (kOperators.find(source_[at_]) == std::string_view::npos) {
      const std::string_view rest = std::string_view(source_).substr(at_);
      return Wrong(
          StrCat("unexpected character ", rest.substr(0, rest.size() - WithoutFirst(rest).size())));
    }
    Add(TokenKind::kOperator, std::string(1, source_[at_++]));
    return absl::OkStatus();
  }

  // How many characters from `at` on are the sign and digits of an exponent, with its letter; 0: none.
  size_t ExponentSize(size_t at) const {
    if (at >= source_.size() || (source_[at] != 'e' && source_[at] != 'E')) return 0;
    size_t end = at + 1;
    if (end < source_.size() && (source_[end] == '+' || source_[end] == '-')) ++end;
    const size_t digits = DigitsSize(end);
    return digits == 0 ? 0 : end + digits - at;
  }

  size_t DigitsSize(size_t at) const {
    if (at >= source_.size() || !IsDigit(source_[at])) return 0;
    size_t end = at;
    while (end < source_.size() && (IsDigit(source_[end]) || source_[end] == '_')) ++end;
    return end - at;
  }

  absl::Status Number() {
    size_t size = DigitsSize(at_);
    const size_t whole_size = size;
    if (at_ + size < source_.size() && source_[at_ + size] == '.') {
      const size_t fraction = DigitsSize(at_ + size + 1);
      if (fraction > 0) size += 1 + fraction;
    }
    size += ExponentSize(at_ + size);
    std::string digits = source_.substr(at_, size);
    std::erase(digits, '_');
    if (digits.size() > 18 && size == whole_size)
      return Wrong(StrCat("the number ", digits, " is too large"));
    Add(size == whole_size ? TokenKind::kInteger : TokenKind::kReal, digits);
    at_ += size;
    return absl::OkStatus();
  }

  absl::Status String(char quote) {
    Token token{TokenKind::kString, "", line_};
    Advance(1);
    while (at_ < source_.size() && source_[at_] != quote) {
      if (source_[at_] == '\\') {
        TUNESMITH_RETURN_IF_ERROR(Escape(&token.text));
      } else {
        token.text += source_[at_];
        Advance(1);
      }
    }
    if (at_ == source_.size()) {
      line_ = token.line;
      return Wrong("a string without its end");
    }
    Advance(1);
    tokens_.push_back(std::move(token));
    return absl::OkStatus();
  }

  // Python's escapes.
  absl::Status Escape(std::string* text) {
    constexpr std::string_view kLetters = "ntrbfav0\\'\"";
    constexpr std::string_view kMeanings("\n\t\r\b\f\a\v\0\\'\"", 11);
    if (at_ + 1 == source_.size()) return Wrong("a string without its end");
    const char letter = source_[at_ + 1];
    const size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
    if (digits > 0) return CodePoint(digits, text);
    const size_t at = kLetters.find(letter);
    if (letter == '\n') {
      // A line that goes on.
    } else if (at == std::string_view::npos) {
      *text += source_.substr(at_, 2);  // as Python: both stay
    } else {
      *text += kMeanings[at];
    }
    Advance(2);
    return absl::OkStatus();
  }

  absl::Status CodePoint(size_t digit_count, std::string* text) {
    char32_t c = 0;
    for (size_t i = 0; i < digit_count; ++i) {
      const int digit = at_ + 2 + i < source_.size() ? HexadecimalDigit(source_[at_ + 2 + i]) : -1;
      if (digit < 0) return Wrong("an escape without its hexadecimal digits");
      c = c * 16 + static_cast<char32_t>(digit);
    }
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
      return Wrong("an escape of something that is no character");
    AppendUtf8(c, text);
    Advance(2 + digit_count);
    return absl::OkStatus();
  }

  std::string source_;
  size_t at_ = 0;
  int64_t line_ = 1;
  std::vector<Token> tokens_;
};

// As Jinja: line breaks become \n, and the last one goes.
std::string Prepared(std::string_view source) {
  std::string result = Replace(Replace(source, "\r\n", "\n", -1), "\r", "\n", -1);
  if (result.ends_with('\n')) result.pop_back();
  return result;
}

}  // namespace

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source) {
  return Lexer(Prepared(source)).Run();
}

}  // namespace tunesmith::trainer::jinja
