#include "trainer/model_io/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/utf8.h"
#include "trainer/model_io/oniguruma.h"

namespace tunesmith::trainer {
namespace {

std::string ErrorText(int code) {
  std::array<PCRE2_UCHAR, 256> text = {};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

}  // namespace

struct Regex::Code {
  std::string pattern;
  pcre2_code* code = nullptr;

  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() { pcre2_code_free(code); }

  // As pcre2_match; where the compiled code's small stack does not suffice the interpreter is asked.
  int Match(std::string_view text, size_t from, pcre2_match_data* data) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const int count =
        pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, data, nullptr);
    if (count != PCRE2_ERROR_JIT_STACKLIMIT) return count;
    return pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data,
                       nullptr);
  }
};

absl::StatusOr<Regex> Regex::Compile(const TextPattern& pattern) {
  if (pattern.is_literal) return CompilePcre(pattern.text, pattern.text, PCRE2_LITERAL);
  TUNESMITH_ASSIGN_OR_RETURN(const std::string translated, PcreFromOniguruma(pattern.text));
  // Oniguruma's ^ and $ are those of lines.
  return CompilePcre(pattern.text, translated, PCRE2_UCP | PCRE2_MULTILINE);
}

absl::StatusOr<Regex> Regex::CompilePcre(const std::string& pattern, const std::string& translated,
                                         uint32_t options) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_shared<Code>();
  code->pattern = pattern;
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                             PCRE2_UTF | options, &error, &offset, nullptr);
  if (code->code == nullptr) {
    return absl::UnimplementedError(
        StrCat("the regular expression ", pattern, " is not understood: ", ErrorText(error)));
  }
  pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);  // where it fails the interpreter runs
  return Regex(std::move(code));
}

absl::StatusOr<std::vector<Regex::Match>> Regex::FindAll(std::string_view text) const {
  const std::unique_ptr<pcre2_match_data, FreeMatchData> data(pcre2_match_data_create(1, nullptr));
  std::vector<Match> matches;
  size_t from = 0;
  while (from < text.size()) {
    const int count = code_->Match(text, from, data.get());
    if (count == PCRE2_ERROR_NOMATCH) break;
    if (count < 0) {
      return absl::ResourceExhaustedError(
          StrCat("the regular expression ", code_->pattern, " failed: ", ErrorText(count)));
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    if (bounds[1] > bounds[0]) {
      matches.push_back({bounds[0], bounds[1]});
      from = bounds[1];
    } else {  // an empty match: go on behind the next character
      from = bounds[1] < text.size()
                 ? bounds[1] + static_cast<size_t>(Utf8CharacterBytes(text.substr(bounds[1])))
                 : text.size();
    }
  }
  return matches;
}

}  // namespace tunesmith::trainer
