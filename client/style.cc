#include "client/style.h"

#include <unistd.h>

#include <cstdlib>

#include "common/str_cat.h"

namespace tunesmith::client {
namespace {

bool has_color = false;

bool IsSet(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

bool IsDumb() {
  const char* term = std::getenv("TERM");
  return term == nullptr || std::string_view(term) == "dumb";
}

std::string Sequence(std::string_view codes, std::string_view text) {
  if (!has_color || text.empty()) return std::string(text);
  return StrCat("\x1b[", codes, "m", text, "\x1b[0m");
}

}  // namespace

void ChooseStyle(ColorMode mode) {
  has_color = mode == ColorMode::kAlways ||
              (mode == ColorMode::kAuto && DrawsUnasked() && !IsSet("NO_COLOR") && !IsDumb());
}

bool DrawsUnasked() { return isatty(STDOUT_FILENO) == 1; }

std::string Styled(Style style, std::string_view text) {
  static constexpr std::string_view kCodes[] = {"1;32", "1;31"};
  return Sequence(kCodes[static_cast<size_t>(style)], text);
}

// Of the 256-colour palette, all dark enough for white letters.
std::string OnBackground(int index, std::string_view text) {
  static constexpr std::string_view kCodes[] = {"97;48;5;25",  "97;48;5;166", "97;48;5;64",
                                                "97;48;5;90",  "97;48;5;130", "97;48;5;30",
                                                "97;48;5;161", "97;48;5;240"};
  return Sequence(kCodes[static_cast<size_t>(index) % std::size(kCodes)], text);
}

}  // namespace tunesmith::client
