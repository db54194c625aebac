#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/jinja/builtins.h"
#include "trainer/jinja/python_text.h"

namespace tunesmith::trainer::jinja {
namespace {

absl::Status NotFor(std::string_view name, const Value& a, const Value& b) {
  return absl::InvalidArgumentError(
      StrCat("\"", name, "\" between a ", a.KindName(), " and a ", b.KindName()));
}

bool IsWhole(const Value& value) { return value.IsNumber() && value.real() == nullptr; }

absl::StatusOr<Value> WholeOperator(std::string_view name, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflows = false;
  if (name == "+") {
    overflows = __builtin_add_overflow(a, b, &result);
  } else if (name == "-") {
    overflows = __builtin_sub_overflow(a, b, &result);
  } else if (name == "*") {
    overflows = __builtin_mul_overflow(a, b, &result);
  } else if (name == "**") {
    const double power = std::pow(static_cast<double>(a), static_cast<double>(b));
    if (b < 0) return Value(power);
    overflows = std::abs(power) > 9e15;
    result = overflows ? 0 : static_cast<int64_t>(power);
  } else {
    if (b == 0) return absl::InvalidArgumentError("a division by zero");
    if (a == std::numeric_limits<int64_t>::min() && b == -1) {
      overflows = true;
    } else {
      const int64_t remainder = ((a % b) + b) % b;  // of b's sign, as Python's
      result = name == "%" ? remainder : (a - remainder) / b;
    }
  }
  if (overflows)
    return absl::InvalidArgumentError(StrCat("\"", name, "\" makes too large a number"));
  return Value(result);
}

absl::StatusOr<Value> RealOperator(std::string_view name, double a, double b) {
  if (name == "+") return Value(a + b);
  if (name == "-") return Value(a - b);
  if (name == "*") return Value(a * b);
  if (name == "**") return Value(std::pow(a, b));
  if (b == 0) return absl::InvalidArgumentError("a division by zero");
  if (name == "/") return Value(a / b);
  const double quotient = std::floor(a / b);
  return name == "//" ? Value(quotient) : Value(a - quotient * b);
}

absl::StatusOr<Value> Repeat(const Value& value, int64_t count, const Context& context) {
  count = std::max<int64_t>(count, 0);
  const auto size = static_cast<int64_t>(value.text() != nullptr ? value.text()->size()
                                                                 : value.list()->size() * 32);
  int64_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) bytes = std::numeric_limits<int64_t>::max();
  TUNESMITH_RETURN_IF_ERROR(context.budget->TakeBytes(bytes));
  if (value.text() != nullptr) {
    std::string text;
    for (int64_t i = 0; i < count && size > 0; ++i) text += *value.text();
    return Value(std::move(text));
  }
  List list;
  for (int64_t i = 0; i < count && size > 0; ++i)
    list.insert(list.end(), value.list()->begin(), value.list()->end());
  return Value(std::move(list));
}

absl::StatusOr<Value> Join(const Value& a, const Value& b, const Context& context) {
  if (a.text() != nullptr) {
    TUNESMITH_RETURN_IF_ERROR(
        context.budget->TakeBytes(static_cast<int64_t>(a.text()->size() + b.text()->size())));
    return Value(*a.text() + *b.text());
  }
  TUNESMITH_RETURN_IF_ERROR(
      context.budget->TakeBytes(static_cast<int64_t>(32 * (a.list()->size() + b.list()->size()))));
  List list = *a.list();
  list.insert(list.end(), b.list()->begin(), b.list()->end());
  return Value(std::move(list));
}

absl::StatusOr<bool> Contains(const Value& container, const Value& item) {
  if (container.is_undefined()) return false;
  if (container.text() != nullptr) {
    if (item.text() == nullptr) return NotFor("in", item, container);
    return container.text()->find(*item.text()) != std::string::npos;
  }
  if (container.dict() != nullptr)
    return item.text() != nullptr && FindKey(*container.dict(), *item.text()) != nullptr;
  if (container.list() == nullptr) return NotFor("in", item, container);
  return std::any_of(container.list()->begin(), container.list()->end(),
                     [&](const Value& value) { return AreEqual(value, item); });
}

// Python's slice.indices(size): the first index, and how many follow it.
struct Span {
  int64_t start = 0;
  int64_t step = 1;
  int64_t count = 0;
};

absl::StatusOr<Span> SpanOf(const Value& start, const Value& stop, const Value& step,
                            int64_t size) {
  for (const Value* part : {&start, &stop, &step}) {
    if (!part->is_none() && !IsWhole(*part))
      return absl::InvalidArgumentError(
          StrCat("an index of a slice is a ", part->KindName(), ", not an integer"));
  }
  Span span;
  span.step = step.is_none() ? 1 : step.AsInteger();
  if (span.step == 0) return absl::InvalidArgumentError("the step of a slice is 0");
  const bool is_forward = span.step > 0;
  const auto clamp = [&](const Value& value, int64_t fallback) {
    if (value.is_none()) return fallback;
    const int64_t index = value.AsInteger() < 0 ? value.AsInteger() + size : value.AsInteger();
    return std::clamp<int64_t>(index, is_forward ? 0 : -1, is_forward ? size : size - 1);
  };
  span.start = clamp(start, is_forward ? 0 : size - 1);
  const int64_t end = clamp(stop, is_forward ? size : -1);
  const int64_t distance = is_forward ? end - span.start : span.start - end;
  const int64_t stride = std::min(span.step < 0 ? -(span.step + 1) : span.step - 1, size) + 1;
  span.count = distance > 0 ? (distance + stride - 1) / stride : 0;
  if (span.count <= 1) span.step = 0;  // never taken; may be too large to multiply
  return span;
}

}  // namespace

absl::Status RequireDefined(const Value& value) {
  if (!value.is_undefined()) return absl::OkStatus();
  return absl::InvalidArgumentError(value.undefined().hint);
}

absl::StatusOr<Value> ApplyOperator(std::string_view name, const Value& a, const Value& b,
                                    const Context& context) {
  if (name == "~") return Join(Value(ToText(a)), Value(ToText(b)), context);
  TUNESMITH_RETURN_IF_ERROR(RequireDefined(a));
  TUNESMITH_RETURN_IF_ERROR(RequireDefined(b));
  if (a.IsNumber() && b.IsNumber()) {
    if (IsWhole(a) && IsWhole(b) && name != "/")
      return WholeOperator(name, a.AsInteger(), b.AsInteger());
    return RealOperator(name, a.AsReal(), b.AsReal());
  }
  const bool both_texts = a.text() != nullptr && b.text() != nullptr;
  const bool both_lists = a.list() != nullptr && b.list() != nullptr;
  if (name == "+" && (both_texts || both_lists)) return Join(a, b, context);
  const auto repeats = [](const Value& value, const Value& count) {
    return (value.text() != nullptr || value.list() != nullptr) && IsWhole(count);
  };
  if (name == "*" && repeats(a, b)) return Repeat(a, b.AsInteger(), context);
  if (name == "*" && repeats(b, a)) return Repeat(b, a.AsInteger(), context);
  return NotFor(name, a, b);
}

absl::StatusOr<bool> ApplyComparison(std::string_view name, const Value& a, const Value& b) {
  if (name == "==") return AreEqual(a, b);
  if (name == "!=") return !AreEqual(a, b);
  if (name == "in") return Contains(b, a);
  if (name == "not in") {
    TUNESMITH_ASSIGN_OR_RETURN(const bool contains, Contains(b, a));
    return !contains;
  }
  TUNESMITH_RETURN_IF_ERROR(RequireDefined(a));
  TUNESMITH_RETURN_IF_ERROR(RequireDefined(b));
  TUNESMITH_ASSIGN_OR_RETURN(const int order, Compare(a, b));
  if (name == "<") return order < 0;
  if (name == "<=") return order <= 0;
  return name == ">" ? order > 0 : order >= 0;
}

absl::StatusOr<Value> GetSlice(const Value& value, const Value& start, const Value& stop,
                               const Value& step) {
  TUNESMITH_RETURN_IF_ERROR(RequireDefined(value));
  if (value.text() == nullptr && value.list() == nullptr)
    return absl::InvalidArgumentError(StrCat("a ", value.KindName(), " cannot be sliced"));
  TUNESMITH_ASSIGN_OR_RETURN(const List items, ItemsOf(value));
  TUNESMITH_ASSIGN_OR_RETURN(const Span span,
                             SpanOf(start, stop, step, static_cast<int64_t>(items.size())));
  List chosen;
  std::string text;
  for (int64_t i = 0; i < span.count; ++i) {
    const Value& item = items[static_cast<size_t>(span.start + i * span.step)];
    if (value.text() != nullptr) {
      text += *item.text();
    } else {
      chosen.push_back(item);
    }
  }
  return value.text() != nullptr ? Value(std::move(text)) : Value(std::move(chosen));
}

absl::StatusOr<Value> GetItem(const Value& value, const Value& index, const Context& context) {
  TUNESMITH_RETURN_IF_ERROR(RequireDefined(value));
  if (index.text() != nullptr) return GetMember(value, *index.text(), true, context);
  const bool is_sequence = value.text() != nullptr || value.list() != nullptr;
  if (!is_sequence || !IsWhole(index)) {
    return Value(Undefined{
        StrCat("'", value.KindName(), " object' has no element ", ToRepresentation(index))});
  }
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t size, LengthOf(value));
  const int64_t at = index.AsInteger() < 0 ? index.AsInteger() + size : index.AsInteger();
  if (at < 0 || at >= size) {
    return Value(
        Undefined{StrCat("'", value.KindName(), " object' has no element ", index.AsInteger())});
  }
  if (value.list() != nullptr) return (*value.list())[static_cast<size_t>(at)];
  return CharactersOf(*value.text())[static_cast<size_t>(at)];
}

}  // namespace tunesmith::trainer::jinja
