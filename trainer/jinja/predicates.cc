#include <string>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/jinja/builtins.h"
#include "trainer/jinja/python_text.h"

namespace tunesmith::trainer::jinja {
namespace {

using Predicate = bool (*)(const Value& value);

struct NamedPredicate {
  std::string_view name;
  Predicate holds;
};

bool IsSequence(const Value& v) {
  return v.text() != nullptr || v.list() != nullptr || v.dict() != nullptr;
}

// Tests without an argument.
constexpr NamedPredicate kPredicates[] = {
    {"defined", [](const Value& v) { return !v.is_undefined(); }},
    {"undefined", [](const Value& v) { return v.is_undefined(); }},
    {"none", [](const Value& v) { return v.is_none(); }},
    {"string", [](const Value& v) { return v.text() != nullptr; }},
    {"mapping", [](const Value& v) { return v.dict() != nullptr; }},
    {"sequence", IsSequence},
    {"iterable", [](const Value& v) { return IsSequence(v) || v.is_undefined(); }},
    {"number", [](const Value& v) { return v.IsNumber(); }},
    {"integer", [](const Value& v) { return v.integer() != nullptr; }},
    {"float", [](const Value& v) { return v.real() != nullptr; }},
    {"boolean", [](const Value& v) { return v.boolean() != nullptr; }},
    {"true", [](const Value& v) { return v.boolean() != nullptr && *v.boolean(); }},
    {"false", [](const Value& v) { return v.boolean() != nullptr && !*v.boolean(); }},
    {"callable", [](const Value& v) { return v.callable() != nullptr; }},
    {"lower", [](const Value& v) { return HasLowerOnly(ToText(v)); }},
    {"upper", [](const Value& v) { return HasUpperOnly(ToText(v)); }},
};

struct NamedComparison {
  std::string_view name;
  std::string_view comparison;
};
constexpr NamedComparison kComparisons[] = {
    {"eq", "=="},         {"equalto", "=="}, {"==", "=="}, {"ne", "!="}, {"!=", "!="}, {"lt", "<"},
    {"lessthan", "<"},    {"<", "<"},        {"le", "<="}, {"<=", "<="}, {"gt", ">"},  {">", ">"},
    {"greaterthan", ">"}, {"ge", ">="},      {">=", ">="}, {"in", "in"},
};

absl::StatusOr<bool> IsDivisible(const Value& value, int64_t by) {
  if (!value.IsNumber() || value.real() != nullptr)
    return absl::InvalidArgumentError(StrCat("a ", value.KindName(), " is neither odd nor even"));
  if (by == 0) return absl::InvalidArgumentError("a division by zero");
  return by == -1 || value.AsInteger() % by == 0;
}

bool IsIdentical(const Value& a, const Value& b) {
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.boolean() != nullptr || b.boolean() != nullptr)
    return a.boolean() != nullptr && b.boolean() != nullptr && *a.boolean() == *b.boolean();
  return a.IsSame(b) || (a.IsNumber() && AreEqual(a, b));
}

}  // namespace

absl::StatusOr<bool> ApplyTest(std::string_view name, const Value& value,
                               const Arguments& arguments) {
  for (const NamedPredicate& row : kPredicates) {
    if (row.name == name) return row.holds(value);
  }
  if (name == "even") return IsDivisible(value, 2);
  if (name == "odd") {
    TUNESMITH_ASSIGN_OR_RETURN(const bool is_even, IsDivisible(value, 2));
    return !is_even;
  }
  if (arguments.positional.empty() && (name == "divisibleby" || name == "sameas" || name == "in"))
    return absl::InvalidArgumentError(StrCat("the test ", name, " has no argument"));
  if (name == "divisibleby") return IsDivisible(value, arguments.positional[0].AsInteger());
  if (name == "sameas") return IsIdentical(value, arguments.positional[0]);
  for (const NamedComparison& row : kComparisons) {
    if (row.name != name) continue;
    if (arguments.positional.empty())
      return absl::InvalidArgumentError(StrCat("the test ", name, " has no argument"));
    return ApplyComparison(row.comparison, value, arguments.positional[0]);
  }
  return absl::UnimplementedError(StrCat("the test \"", name, "\" is not known here"));
}

}  // namespace tunesmith::trainer::jinja
