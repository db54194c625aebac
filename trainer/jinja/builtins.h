#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/jinja/budget.h"
#include "trainer/jinja/value.h"

// What templates can call. All: INVALID_ARGUMENT says what is wrong with the arguments, UNIMPLEMENTED names what is not known here.
namespace tunesmith::trainer::jinja {

struct Context {
  Budget* budget = nullptr;
  int64_t unix_seconds = 0;  // what strftime_now takes for now, in UTC
  // All that were made: emptied in the end, as they may hold each other.
  std::vector<std::shared_ptr<Namespace>>* namespaces = nullptr;
};

// value | name(arguments).
absl::StatusOr<Value> ApplyFilter(std::string_view name, const Value& value,
                                  const Arguments& arguments, const Context& context);

// value is name(arguments).
absl::StatusOr<bool> ApplyTest(std::string_view name, const Value& value,
                               const Arguments& arguments);

// value.name(arguments); `context` must outlive the method. Undefined where values of this kind have no such method.
Value FindMethod(const Value& value, std::string_view name, const Context& context);

// range, namespace, dict, raise_exception, strftime_now. `context` must outlive them.
Dict Globals(const Context& context);

// value.name or value["name"], whichever `prefers_item` says first; undefined, with a hint, where there is neither.
absl::StatusOr<Value> GetMember(const Value& value, std::string_view name, bool prefers_item,
                                const Context& context);
// value[index].
absl::StatusOr<Value> GetItem(const Value& value, const Value& index, const Context& context);
// value[start:stop:step]; none where a part is left out.
absl::StatusOr<Value> GetSlice(const Value& value, const Value& start, const Value& stop,
                               const Value& step);

// a OPERATOR b, for + - * / // % ** ~.
absl::StatusOr<Value> ApplyOperator(std::string_view name, const Value& a, const Value& b,
                                    const Context& context);
// a OPERATOR b, for == != < <= > >= in "not in".
absl::StatusOr<bool> ApplyComparison(std::string_view name, const Value& a, const Value& b);

// The failure of using an undefined value; ok where it is none.
absl::Status RequireDefined(const Value& value);

}  // namespace tunesmith::trainer::jinja
