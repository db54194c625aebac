#include "trainer/model_io/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/model_io/unicode_text.h"

namespace tunesmith::trainer {
namespace {

// Characters with a combining class or a decomposition that came after Unicode 9, whose tables Hugging Face tokenizers normalize by: to them such a
// character is an unassigned one, which stays as it is and which nothing is ordered or composed across. U+11930 is here because it would be composed with the
// character before it, and so is U+11A7, the place before the trailing consonants of Hangul, which is none itself: utf8proc 2.8 swallows it after a syllable
// without one. Found by comparing every character of utf8proc 2.8 (Unicode 15) with tokenizers 0.23.
constexpr std::array<std::pair<char32_t, char32_t>, 48> kLateCharacters = {{
    {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},
    {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x11a7, 0x11a7},
    {0x1715, 0x1715},   {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},   {0x32ff, 0x32ff},
    {0xa7f2, 0xa7f4},   {0xa82c, 0xa82c},   {0xab69, 0xab69},   {0x10781, 0x10785},
    {0x10787, 0x107b0}, {0x107b2, 0x107ba}, {0x10d24, 0x10d27}, {0x10eab, 0x10eac},
    {0x10efd, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070},
    {0x1133b, 0x1133b}, {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11930, 0x11930},
    {0x11938, 0x11938}, {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0},
    {0x11a34, 0x11a34}, {0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d42},
    {0x11d44, 0x11d45}, {0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1},
    {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae},
    {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef}, {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9},
}};

bool IsLate(char32_t character) {
  const auto at = std::lower_bound(kLateCharacters.begin(), kLateCharacters.end(), character,
                                   [](const auto& range, char32_t c) { return range.second < c; });
  return at != kLateCharacters.end() && at->first <= character;
}

// Up to the first late character.
std::string_view BeforeLate(std::string_view text) {
  std::string_view rest = text;
  while (!rest.empty() && !IsLate(FirstCharacter(rest))) rest = WithoutFirst(rest);
  return text.substr(0, text.size() - rest.size());
}

// The least lead byte of a text that a form could change. Below U+0300 (lead byte 0xcc) all is composed already; ASCII is in every form.
uint8_t LeastChangedByte(UnicodeForm form) { return form == UnicodeForm::kNfc ? 0xcc : 0x80; }

utf8proc_option_t OptionsOf(UnicodeForm form) {
  const bool composes = form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc;
  const bool is_compatible = form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
  return static_cast<utf8proc_option_t>(UTF8PROC_STABLE |
                                        (composes ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                        (is_compatible ? UTF8PROC_COMPAT : 0));
}

absl::Status AppendForm(UnicodeForm form, std::string_view text, std::string* result) {
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &mapped, OptionsOf(form));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (size < 0)
    return absl::InvalidArgumentError(StrCat("cannot normalize the text: ", utf8proc_errmsg(size)));
  result->append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
  return absl::OkStatus();
}

absl::Status ToForm(UnicodeForm form, std::string* text) {
  const uint8_t least = LeastChangedByte(form);
  if (std::none_of(text->begin(), text->end(),
                   [&](char c) { return static_cast<uint8_t>(c) >= least; }))
    return absl::OkStatus();
  std::string result;
  for (std::string_view rest = *text; !rest.empty();) {
    const std::string_view before = BeforeLate(rest);
    TUNESMITH_RETURN_IF_ERROR(AppendForm(form, before, &result));
    rest.remove_prefix(before.size());
    if (rest.empty()) break;
    AppendUtf8(FirstCharacter(rest), &result);
    rest = WithoutFirst(rest);
  }
  *text = std::move(result);
  return absl::OkStatus();
}

std::string Lowercase(std::string_view text) {
  std::string result;
  for (; !text.empty(); text = WithoutFirst(text)) AppendLowercase(FirstCharacter(text), &result);
  return result;
}

std::string ReplaceLiteral(std::string_view text, std::string_view pattern,
                           std::string_view content) {
  std::string result;
  result.reserve(text.size());
  for (;;) {
    const size_t at = text.find(pattern);
    if (at == std::string_view::npos) break;
    result.append(text.substr(0, at)).append(content);
    text.remove_prefix(at + pattern.size());
  }
  return result.append(text);
}

}  // namespace

absl::StatusOr<Replacer> Replacer::Create(const ReplaceStep& step) {
  if (step.pattern.text.empty())
    return absl::InvalidArgumentError("a Replace step has an empty pattern");
  if (step.pattern.is_literal) return Replacer(step, std::nullopt);
  TUNESMITH_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(step.pattern));
  return Replacer(step, std::move(regex));
}

absl::StatusOr<std::string> Replacer::Apply(std::string_view text) const {
  if (!regex_.has_value()) return ReplaceLiteral(text, step_.pattern.text, step_.content);
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<Regex::Match> matches, regex_->FindAll(text));
  std::string result;
  size_t at = 0;
  for (const Regex::Match& match : matches) {
    result.append(text.substr(at, match.begin - at)).append(step_.content);
    at = match.end;
  }
  return result.append(text.substr(at));
}

absl::StatusOr<Normalizer> Normalizer::Create(const std::vector<NormalizerStep>& steps) {
  Normalizer result;
  for (const NormalizerStep& step : steps) {
    result.steps_.push_back({step, std::nullopt});
    if (const auto* replace = std::get_if<ReplaceStep>(&step)) {
      TUNESMITH_ASSIGN_OR_RETURN(result.steps_.back().replacer, Replacer::Create(*replace));
    }
  }
  return result;
}

absl::Status Normalizer::ApplyStep(const Step& step, std::string* text) {
  if (const auto* form = std::get_if<UnicodeForm>(&step.spec)) return ToForm(*form, text);
  if (const auto* prepend = std::get_if<PrependStep>(&step.spec)) {
    if (!text->empty()) text->insert(0, prepend->content);
  } else if (step.replacer.has_value()) {
    TUNESMITH_ASSIGN_OR_RETURN(*text, step.replacer->Apply(*text));
  } else if (const auto* strip = std::get_if<StripStep>(&step.spec)) {
    std::string_view rest = *text;
    if (strip->left) rest = TrimLeft(rest);
    if (strip->right) rest = TrimRight(rest);
    *text = std::string(rest);
  } else if (std::holds_alternative<LowercaseStep>(step.spec)) {
    *text = Lowercase(*text);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Normalizer::Apply(std::string_view text) const {
  std::string result(text);
  for (const Step& step : steps_) TUNESMITH_RETURN_IF_ERROR(ApplyStep(step, &result));
  return result;
}

}  // namespace tunesmith::trainer
