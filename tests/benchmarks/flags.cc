#include "tests/benchmarks/flags.h"

#include "absl/strings/numbers.h"
#include "common/str_cat.h"

namespace tunesmith {
namespace {

bool Set(const std::string& text, std::string* value) {
  *value = text;
  return true;
}

bool Set(const std::string& text, double* value) { return absl::SimpleAtod(text, value); }

template <typename Integer>
bool Set(const std::string& text, Integer* value) {
  return absl::SimpleAtoi(text, value);
}

}  // namespace

absl::Status ReadFlags(const std::vector<std::string>& arguments,
                       const std::map<std::string, FlagValue>& flags) {
  for (size_t i = 0; i < arguments.size(); i += 2) {
    const auto flag = flags.find(arguments[i]);
    if (flag == flags.end())
      return absl::InvalidArgumentError(StrCat("unknown flag ", arguments[i]));
    if (i + 1 == arguments.size())
      return absl::InvalidArgumentError(StrCat(arguments[i], ": no value"));
    const std::string& text = arguments[i + 1];
    if (!std::visit([&](auto* value) { return Set(text, value); }, flag->second))
      return absl::InvalidArgumentError(StrCat(arguments[i], " ", text, ": not a number"));
  }
  return absl::OkStatus();
}

}  // namespace tunesmith
