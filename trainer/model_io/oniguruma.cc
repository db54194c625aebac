#include "trainer/model_io/oniguruma.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/status/status.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/utf8.h"

namespace tunesmith::trainer {
namespace {

// The insides of classes. \s is Unicode's White_Space, kNotSpaces its complement. \w: Alphabetic, marks, digits and connectors; the letters in circles
// and squares are Alphabetic symbols.
constexpr std::string_view kSpaces =
    R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpaces =
    R"(\x{0}-\x08\x0e-\x1f\x21-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";
constexpr std::string_view kHexadecimal = "0-9A-Fa-f";
constexpr std::array<std::string_view, 5> kProperties = {"Any}", "Alphabetic}", "Emoji}",
                                                         "Lowercase}", "Uppercase}"};

struct CharacterClass {
  bool negated = false;
  std::string items;
  std::string conditions;  // look-aheads of intersections

  std::string Brackets() const { return StrCat(negated ? "[^" : "[", items, "]"); }
};

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (at_ < pattern_.size()) TUNESMITH_RETURN_IF_ERROR(Next());
    return std::move(result_);
  }

 private:
  absl::Status Unknown(std::string_view construct) const {
    return absl::UnimplementedError(StrCat("the regular expression ", pattern_, " has ", construct,
                                           " at byte ", at_, ", which is not known here"));
  }

  bool Sees(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }

  std::string_view Take(size_t size) {
    const std::string_view text = pattern_.substr(at_, size);
    at_ += text.size();
    return text;
  }

  std::string_view TakeCharacter() {
    const int64_t size = Utf8CharacterBytes(pattern_.substr(at_));
    return Take(static_cast<size_t>(size > 0 ? size : 1));
  }

  // Up to and with `end`; the rest where there is none (PCRE2 will say what is wrong).
  std::string_view TakeThrough(char end) {
    const size_t found = pattern_.find(end, at_);
    return Take(found == std::string_view::npos ? pattern_.size() - at_ : found + 1 - at_);
  }

  absl::Status Next() {
    switch (pattern_[at_]) {
      case '\\':
        return Escape();
      case '[':
        return Class();
      case '(':
        groups_.push_back(result_.size());
        result_ += Take(Sees("(?") ? 2 : 1);
        return absl::OkStatus();
      case ')':
        atom_ = groups_.empty() ? 0 : groups_.back();
        if (!groups_.empty()) groups_.pop_back();
        result_ += Take(1);
        return absl::OkStatus();
      case '{':
        Interval();
        return absl::OkStatus();
      case '*':
      case '+':
      case '?':
        result_ += Take(1);
        return absl::OkStatus();
      default:
        atom_ = result_.size();
        result_ += TakeCharacter();
        return absl::OkStatus();
    }
  }

  // {n,m}: a plus behind it repeats what the interval makes.
  void Interval() {
    result_ += TakeThrough('}');
    if (!Sees("+")) return;
    at_ += 1;
    result_.insert(atom_, "(?:");
    result_ += ")+";
  }

  absl::Status Escape() {
    atom_ = result_.size();
    const std::string_view two = pattern_.substr(at_, 2);
    if (two == "\\S" || two == "\\W") {
      result_ += StrCat("[^", two == "\\S" ? kSpaces : kWord, "]");
      at_ += 2;
      return absl::OkStatus();
    }
    const std::string_view items = ItemsOf(two);
    if (!items.empty()) {
      result_ += StrCat("[", items, "]");
      at_ += 2;
      return absl::OkStatus();
    }
    if (two == "\\H") return Unknown(two);
    result_ += TakeEscape();
    return absl::OkStatus();
  }

  static std::string_view ItemsOf(std::string_view escape) {
    if (escape == "\\s") return kSpaces;
    if (escape == "\\S") return kNotSpaces;
    if (escape == "\\w") return kWord;
    if (escape == "\\h") return kHexadecimal;
    return {};
  }

  // An escape that means the same to both, \x{...} or a character, or a property.
  std::string TakeEscape() {
    const std::string_view three = pattern_.substr(at_, 3);
    if (three == "\\p{" || three == "\\P{") return Property();
    if (three.size() == 3 && three[2] == '{') return std::string(TakeThrough('}'));
    const size_t begin = at_;
    ++at_;
    if (at_ < pattern_.size()) TakeCharacter();
    return std::string(pattern_.substr(begin, at_ - begin));
  }

  // A name of more than two letters is a script's, or one of a few properties.
  std::string Property() {
    std::string letter(Take(2));
    at_ += 1;
    if (Sees("^")) {
      at_ += 1;
      letter[1] = letter[1] == 'p' ? 'P' : 'p';
    }
    const std::string_view name = TakeThrough('}');
    const bool is_script = name.size() > 3 && std::find(kProperties.begin(), kProperties.end(),
                                                        name) == kProperties.end();
    return StrCat(letter, is_script ? "{sc:" : "{", name);
  }

  absl::Status Class() {
    atom_ = result_.size();
    TUNESMITH_ASSIGN_OR_RETURN(const CharacterClass parsed, ParseClass(0));
    result_ += parsed.conditions.empty() ? parsed.Brackets()
                                         : StrCat("(?:", parsed.conditions, parsed.Brackets(), ")");
    return absl::OkStatus();
  }

  // REQUIRES: at a '['.
  absl::StatusOr<CharacterClass> ParseClass(int depth) {
    if (depth > 8) return Unknown("classes within classes");
    CharacterClass parsed;
    at_ += 1;
    if (Sees("^")) {
      parsed.negated = true;
      at_ += 1;
    }
    if (Sees("]")) parsed.items += StrCat("\\", Take(1));
    while (at_ < pattern_.size() && !Sees("]")) {
      if (Sees("&&")) {
        TUNESMITH_RETURN_IF_ERROR(Intersect(depth, &parsed));
      } else {
        TUNESMITH_RETURN_IF_ERROR(AddItem(depth, &parsed));
      }
    }
    if (at_ == pattern_.size()) return Unknown("a class without end");
    at_ += 1;
    return parsed;
  }

  absl::Status AddItem(int depth, CharacterClass* parsed) {
    if (Sees("[:")) {
      parsed->items += TakeThrough(']');
      return absl::OkStatus();
    }
    if (Sees("[")) {
      TUNESMITH_ASSIGN_OR_RETURN(const CharacterClass inner, ParseClass(depth + 1));
      if (inner.negated || !inner.conditions.empty())
        return Unknown("a union with a negated class");
      parsed->items += inner.items;
      return absl::OkStatus();
    }
    if (Sees("\\W") || Sees("\\H")) return Unknown("\\W or \\H in a class");
    if (const std::string_view items = ItemsOf(pattern_.substr(at_, 2)); !items.empty()) {
      parsed->items += items;
      at_ += 2;
    } else {
      parsed->items += Sees("\\") ? TakeEscape() : std::string(TakeCharacter());
    }
    return absl::OkStatus();
  }

  // REQUIRES: at "&&". What follows, up to the next && or the end, is one class.
  absl::Status Intersect(int depth, CharacterClass* parsed) {
    if (parsed->negated || parsed->items.empty())
      return Unknown("an intersection with a negated class or with none");
    at_ += 2;
    CharacterClass right;
    if (Sees("[") && !Sees("[:")) {
      TUNESMITH_ASSIGN_OR_RETURN(right, ParseClass(depth + 1));
    }
    while (at_ < pattern_.size() && !Sees("]") && !Sees("&&")) {
      if (right.negated) return Unknown("a union with a negated class");
      TUNESMITH_RETURN_IF_ERROR(AddItem(depth, &right));
    }
    if (right.items.empty() || !right.conditions.empty())
      return Unknown("an intersection of intersections");
    parsed->conditions += StrCat("(?=", right.Brackets(), ")");
    return absl::OkStatus();
  }

  std::string_view pattern_;
  size_t at_ = 0;
  std::string result_;
  size_t atom_ = 0;             // where what a quantifier would repeat begins in result_
  std::vector<size_t> groups_;  // where the open groups begin in result_
};

}  // namespace

absl::StatusOr<std::string> PcreFromOniguruma(std::string_view pattern) {
  return Translator(pattern).Run();
}

}  // namespace tunesmith::trainer
