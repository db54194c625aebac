#include <ctime>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/jinja/builtins.h"

namespace tunesmith::trainer::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // as Jinja's sandbox

using Result = absl::StatusOr<Value>;

absl::StatusOr<int64_t> WholeArgument(const Arguments& arguments, size_t index, int64_t fallback) {
  if (index >= arguments.positional.size()) return fallback;
  const Value& value = arguments.positional[index];
  if (value.IsNumber() && value.real() == nullptr) return value.AsInteger();
  return absl::InvalidArgumentError(
      StrCat("an argument of range is a ", value.KindName(), ", not an int"));
}

Result Range(const Arguments& arguments) {
  const size_t count = arguments.positional.size();
  if (count < 1 || count > 3) return absl::InvalidArgumentError("range takes 1 to 3 arguments");
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t first, WholeArgument(arguments, 0, 0));
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t second, WholeArgument(arguments, 1, 0));
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t step, WholeArgument(arguments, 2, 1));
  if (step == 0) return absl::InvalidArgumentError("the step of a range is 0");
  const int64_t start = count == 1 ? 0 : first, stop = count == 1 ? first : second;
  List numbers;
  for (__int128 i = start; step > 0 ? i < stop : i > stop; i += step) {
    if (static_cast<int64_t>(numbers.size()) == kMaxRange)
      return absl::ResourceExhaustedError(StrCat("a range has more than ", kMaxRange, " numbers"));
    numbers.emplace_back(static_cast<int64_t>(i));
  }
  return Value(std::move(numbers));
}

absl::StatusOr<Dict> NamedOf(const Arguments& arguments) {
  Dict values;
  if (!arguments.positional.empty()) {
    if (arguments.positional[0].dict() == nullptr)
      return absl::InvalidArgumentError("the argument is not a dict");
    values = *arguments.positional[0].dict();
  }
  for (const auto& [name, value] : arguments.named) SetKey(name, value, &values);
  return values;
}

Result MakeNamespace(const Arguments& arguments, const Context& context) {
  TUNESMITH_RETURN_IF_ERROR(context.budget->TakeBytes(64));
  auto result = std::make_shared<Namespace>();
  context.namespaces->push_back(result);
  TUNESMITH_ASSIGN_OR_RETURN(result->values, NamedOf(arguments));
  return Value(std::move(result));
}

Result MakeDict(const Arguments& arguments) {
  TUNESMITH_ASSIGN_OR_RETURN(Dict values, NamedOf(arguments));
  return Value(std::move(values));
}

Result RaiseException(const Arguments& arguments) {
  return absl::InvalidArgumentError(
      StrCat("the template refuses the conversation: ",
             arguments.positional.empty() ? "" : ToText(arguments.positional[0])));
}

Result Now(const Arguments& arguments, int64_t unix_seconds) {
  if (arguments.positional.empty() || arguments.positional[0].text() == nullptr)
    return absl::InvalidArgumentError("strftime_now takes a format");
  const std::string& format = *arguments.positional[0].text();
  const auto time = static_cast<std::time_t>(unix_seconds);
  std::tm parts = {};
  gmtime_r(&time, &parts);
  std::string text(format.size() * 16 + 256, '\0');
  text.resize(std::strftime(text.data(), text.size(), format.c_str(), &parts));
  return Value(std::move(text));
}

}  // namespace

Dict Globals(const Context& context) {
  const int64_t unix_seconds = context.unix_seconds;
  return {{"range", Callable{"range", Range}},
          {"namespace", Callable{"namespace",
                                 [&context](const Arguments& arguments) {
                                   return MakeNamespace(arguments, context);
                                 }}},
          {"dict", Callable{"dict", MakeDict}},
          {"raise_exception", Callable{"raise_exception", RaiseException}},
          {"strftime_now", Callable{"strftime_now", [unix_seconds](const Arguments& arguments) {
                                      return Now(arguments, unix_seconds);
                                    }}}};
}

}  // namespace tunesmith::trainer::jinja
