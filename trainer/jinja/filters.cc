#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/jinja/builtins.h"
#include "trainer/jinja/python_text.h"

namespace tunesmith::trainer::jinja {
namespace {

using Result = absl::StatusOr<Value>;

struct Call {
  const Value& value;
  const Arguments& arguments;
  const Context& context;

  const Value* Find(size_t index, std::string_view name) const {
    return arguments.Find(index, name);
  }
  std::string TextOr(size_t index, std::string_view name, std::string_view fallback) const {
    const Value* found = Find(index, name);
    return found == nullptr ? std::string(fallback) : ToText(*found);
  }
  int64_t IntegerOr(size_t index, std::string_view name, int64_t fallback) const {
    const Value* found = Find(index, name);
    return found == nullptr || !found->IsNumber() ? fallback : found->AsInteger();
  }
  bool Flag(size_t index, std::string_view name) const {
    const Value* found = Find(index, name);
    return found != nullptr && found->IsTrue();
  }
};

// "a.b" or a key of each item; the item itself where there is no attribute.
Result Attribute(const Value& item, const Value* attribute, const Context& context) {
  if (attribute == nullptr || attribute->is_none()) return item;
  if (attribute->text() == nullptr) return GetItem(item, *attribute, context);
  const std::string dot = ".";
  Value value = item;
  for (const std::string_view name : Split(*attribute->text(), &dot, -1)) {
    TUNESMITH_ASSIGN_OR_RETURN(value, GetMember(value, name, true, context));
  }
  return value;
}

Result Trim(const Call& call) {
  const Value* characters = call.Find(0, "chars");
  const std::string* set = characters == nullptr ? nullptr : characters->text();
  return Value(Strip(ToText(call.value), set, {}));
}

Result Length(const Call& call) {
  if (call.value.is_undefined()) return Value(int64_t{0});
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t length, LengthOf(call.value));
  return Value(length);
}

Result Default(const Call& call) {
  const bool replaces =
      call.value.is_undefined() || (call.Flag(1, "boolean") && !call.value.IsTrue());
  if (!replaces) return call.value;
  const Value* fallback = call.Find(0, "default_value");
  return fallback == nullptr ? Value("") : *fallback;
}

Result ToJsonFilter(const Call& call) {
  TUNESMITH_RETURN_IF_ERROR(RequireDefined(call.value));
  JsonStyle style;
  if (const Value* indent = call.Find(1, "indent"); indent != nullptr && indent->IsNumber())
    style.indent = std::clamp<int64_t>(indent->AsInteger(), 0, 64);
  style.sorts_keys = call.Flag(3, "sort_keys");
  TUNESMITH_ASSIGN_OR_RETURN(std::string text, ToJson(call.value, style));
  return Value(std::move(text));
}

Result JoinFilter(const Call& call) {
  TUNESMITH_ASSIGN_OR_RETURN(const List items, ItemsOf(call.value));
  const std::string separator = call.TextOr(0, "d", "");
  std::string joined;
  for (size_t i = 0; i < items.size(); ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(const Value item,
                               Attribute(items[i], call.Find(1, "attribute"), call.context));
    joined.append(i > 0 ? separator : "").append(ToText(item));
  }
  return Value(std::move(joined));
}

template <std::string (*kMap)(std::string_view)>
Result MapText(const Call& call) {
  return Value(kMap(ToText(call.value)));
}

Result ListFilter(const Call& call) {
  TUNESMITH_ASSIGN_OR_RETURN(List items, ItemsOf(call.value));
  return Value(std::move(items));
}

template <bool kFirst>
Result End(const Call& call) {
  TUNESMITH_ASSIGN_OR_RETURN(const List items, ItemsOf(call.value));
  if (items.empty()) return Value(Undefined{"the first or last item of nothing is undefined"});
  return kFirst ? items.front() : items.back();
}

Result Reverse(const Call& call) {
  TUNESMITH_RETURN_IF_ERROR(RequireDefined(call.value));
  const bool is_text = call.value.text() != nullptr;
  TUNESMITH_ASSIGN_OR_RETURN(List items, ItemsOf(call.value));
  std::reverse(items.begin(), items.end());
  if (!is_text) return Value(std::move(items));
  std::string text;
  for (const Value& item : items) text += *item.text();
  return Value(std::move(text));
}

// What an item is ordered by: text without case unless told.
Result SortKey(const Value& item, const Value* attribute, bool case_sensitive,
               const Context& context) {
  TUNESMITH_ASSIGN_OR_RETURN(Value key, Attribute(item, attribute, context));
  return key.text() != nullptr && !case_sensitive ? Value(Lower(*key.text())) : key;
}

absl::Status CheckOrder(const std::vector<std::pair<Value, Value>>& keyed) {
  for (const auto& entry : keyed)
    TUNESMITH_RETURN_IF_ERROR(Compare(entry.first, keyed[0].first).status());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::pair<Value, Value>>> Keyed(const List& items,
                                                           const Value* attribute,
                                                           bool case_sensitive,
                                                           const Context& context) {
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : items) {
    TUNESMITH_ASSIGN_OR_RETURN(Value key, SortKey(item, attribute, case_sensitive, context));
    keyed.emplace_back(std::move(key), item);
  }
  return keyed;
}

Result Sort(const Call& call) {
  TUNESMITH_ASSIGN_OR_RETURN(const List items, ItemsOf(call.value));
  TUNESMITH_ASSIGN_OR_RETURN(auto keyed, Keyed(items, call.Find(2, "attribute"),
                                               call.Flag(1, "case_sensitive"), call.context));
  TUNESMITH_RETURN_IF_ERROR(CheckOrder(keyed));
  const bool is_reversed = call.Flag(0, "reverse");
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    const absl::StatusOr<int> order = Compare(a.first, b.first);
    return order.ok() && (is_reversed ? *order > 0 : *order < 0);
  });
  List sorted;
  for (auto& entry : keyed) sorted.push_back(std::move(entry.second));
  return Value(std::move(sorted));
}

template <bool kLeast>
Result Extreme(const Call& call) {
  TUNESMITH_ASSIGN_OR_RETURN(const List items, ItemsOf(call.value));
  TUNESMITH_ASSIGN_OR_RETURN(const auto keyed, Keyed(items, call.Find(1, "attribute"),
                                                     call.Flag(0, "case_sensitive"), call.context));
  if (keyed.empty()) return Value(Undefined{"the least or greatest of nothing is undefined"});
  const auto* best = &keyed[0];
  for (const auto& entry : keyed) {
    TUNESMITH_ASSIGN_OR_RETURN(const int order, Compare(entry.first, best->first));
    if (kLeast ? order < 0 : order > 0) best = &entry;
  }
  return best->second;
}

Result Unique(const Call& call) {
  TUNESMITH_ASSIGN_OR_RETURN(const List items, ItemsOf(call.value));
  TUNESMITH_ASSIGN_OR_RETURN(const auto keyed, Keyed(items, call.Find(1, "attribute"),
                                                     call.Flag(0, "case_sensitive"), call.context));
  List seen, kept;
  for (const auto& entry : keyed) {
    const Value& key = entry.first;
    TUNESMITH_RETURN_IF_ERROR(call.context.budget->TakeBytes(static_cast<int64_t>(seen.size())));
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& s) { return AreEqual(s, key); }))
      continue;
    seen.push_back(key);
    kept.push_back(entry.second);
  }
  return Value(std::move(kept));
}

// The arguments behind the first `count`.
Arguments Without(const Arguments& arguments, size_t count) {
  Arguments rest;
  rest.named = arguments.named;
  for (size_t i = count; i < arguments.positional.size(); ++i)
    rest.positional.push_back(arguments.positional[i]);
  return rest;
}

Result MapFilter(const Call& call) {
  TUNESMITH_ASSIGN_OR_RETURN(const List items, ItemsOf(call.value));
  const Value* attribute = FindKey(call.arguments.named, "attribute");
  const Value* fallback = FindKey(call.arguments.named, "default");
  if (attribute == nullptr &&
      (call.arguments.positional.empty() || call.arguments.positional[0].text() == nullptr))
    return absl::InvalidArgumentError("map takes a filter's name or an attribute");
  List mapped;
  for (const Value& item : items) {
    Value result;
    if (attribute != nullptr) {
      TUNESMITH_ASSIGN_OR_RETURN(result, Attribute(item, attribute, call.context));
      if (result.is_undefined() && fallback != nullptr) result = *fallback;
    } else {
      TUNESMITH_ASSIGN_OR_RETURN(result, ApplyFilter(*call.arguments.positional[0].text(), item,
                                                     Without(call.arguments, 1), call.context));
    }
    mapped.push_back(std::move(result));
  }
  return Value(std::move(mapped));
}

// select, reject, selectattr and rejectattr: items, or an attribute of theirs, that pass a test, or are true.
template <bool kKeeps, bool kByAttribute>
Result Choose(const Call& call) {
  const List& positional = call.arguments.positional;
  const size_t test_at = kByAttribute ? 1 : 0;
  if (kByAttribute && positional.empty())
    return absl::InvalidArgumentError("the name of an attribute is missing");
  const bool has_test = positional.size() > test_at;
  if (has_test && positional[test_at].text() == nullptr)
    return absl::InvalidArgumentError("the name of a test must be a str");
  TUNESMITH_ASSIGN_OR_RETURN(const List items, ItemsOf(call.value));
  List chosen;
  for (const Value& item : items) {
    TUNESMITH_ASSIGN_OR_RETURN(
        const Value tested, Attribute(item, kByAttribute ? &positional[0] : nullptr, call.context));
    bool passes = tested.IsTrue();
    if (has_test) {
      TUNESMITH_ASSIGN_OR_RETURN(passes, ApplyTest(*positional[test_at].text(), tested,
                                                   Without(call.arguments, test_at + 1)));
    }
    if (passes == kKeeps) chosen.push_back(item);
  }
  return Value(std::move(chosen));
}

Result Items(const Call& call) {
  List pairs;
  if (call.value.is_undefined()) return Value(std::move(pairs));
  if (call.value.dict() == nullptr)
    return absl::InvalidArgumentError(StrCat("a ", call.value.KindName(), " is not a mapping"));
  for (const auto& [key, value] : *call.value.dict()) pairs.push_back(Value::Tuple({key, value}));
  return Value(std::move(pairs));
}

Result DictSort(const Call& call) {
  TUNESMITH_ASSIGN_OR_RETURN(const Value pairs, Items(call));
  const int64_t by = call.TextOr(1, "by", "key") == "value" ? 1 : 0;
  Arguments arguments;
  arguments.named = {{"attribute", Value(by)},
                     {"case_sensitive", Value(call.Flag(0, "case_sensitive"))},
                     {"reverse", Value(call.Flag(2, "reverse"))}};
  return Sort({pairs, arguments, call.context});
}

Result ReplaceFilter(const Call& call) {
  const int64_t limit = call.IntegerOr(2, "count", -1);
  return Value(
      Replace(ToText(call.value), call.TextOr(0, "old", ""), call.TextOr(1, "new", ""), limit));
}

Result IntFilter(const Call& call) {
  int64_t number = 0;
  double real = 0;
  const std::string text(Strip(ToText(call.value), nullptr, {}));
  if (call.value.real() == nullptr && call.value.IsNumber()) return Value(call.value.AsInteger());
  if (ParseInt64(text.starts_with('+') ? text.substr(1) : text, &number)) return Value(number);
  if (ParseDouble(text, &real) && std::abs(real) < 9e15) return Value(static_cast<int64_t>(real));
  return Value(call.IntegerOr(0, "default", 0));
}

Result FloatFilter(const Call& call) {
  double real = 0;
  if (call.value.IsNumber()) return Value(call.value.AsReal());
  if (ParseDouble(Strip(ToText(call.value), nullptr, {}), &real)) return Value(real);
  const Value* fallback = call.Find(0, "default");
  return fallback == nullptr ? Value(0.0) : *fallback;
}

// Width of `width` spaces before every line but the first, and but blank ones.
Result Indent(const Call& call) {
  const Value* width = call.Find(0, "width");
  const std::string margin =
      width != nullptr && width->text() != nullptr
          ? *width->text()
          : std::string(
                static_cast<size_t>(std::clamp<int64_t>(call.IntegerOr(0, "width", 4), 0, 1000)),
                ' ');
  const std::string text = ToText(call.value), newline = "\n";
  std::string result;
  bool is_first = true;
  for (const std::string_view line : Split(text, &newline, -1)) {
    if (!is_first) result += '\n';
    const bool is_indented =
        is_first ? call.Flag(1, "first") : !line.empty() || call.Flag(2, "blank");
    if (is_indented) result += margin;
    TUNESMITH_RETURN_IF_ERROR(call.context.budget->TakeBytes(static_cast<int64_t>(margin.size())));
    result += line;
    is_first = false;
  }
  return Value(std::move(result));
}

Result Abs(const Call& call) {
  if (call.value.real() != nullptr) return Value(std::abs(*call.value.real()));
  if (!call.value.IsNumber())
    return absl::InvalidArgumentError("abs of something that is no number");
  return ApplyOperator("*", call.value, Value(int64_t{call.value.AsInteger() < 0 ? -1 : 1}),
                       call.context);
}

Result Round(const Call& call) {
  if (!call.value.IsNumber())
    return absl::InvalidArgumentError("round of something that is no number");
  const double scale = std::pow(10.0, static_cast<double>(call.IntegerOr(0, "precision", 0)));
  const std::string method = call.TextOr(1, "method", "common");
  const double scaled = call.value.AsReal() * scale;
  if (method == "ceil") return Value(std::ceil(scaled) / scale);
  if (method == "floor") return Value(std::floor(scaled) / scale);
  return Value(std::nearbyint(scaled) / scale);  // halves to even, as Python
}

Result Sum(const Call& call) {
  TUNESMITH_ASSIGN_OR_RETURN(const List items, ItemsOf(call.value));
  const Value* start = call.Find(1, "start");
  Value total = start == nullptr ? Value(int64_t{0}) : *start;
  for (const Value& item : items) {
    TUNESMITH_ASSIGN_OR_RETURN(const Value term,
                               Attribute(item, call.Find(0, "attribute"), call.context));
    TUNESMITH_ASSIGN_OR_RETURN(total, ApplyOperator("+", total, term, call.context));
  }
  return total;
}

Result Escape(const Call& call) {
  std::string text;
  for (const char c : ToText(call.value)) {
    switch (c) {
      case '&':
        text += "&amp;";
        break;
      case '<':
        text += "&lt;";
        break;
      case '>':
        text += "&gt;";
        break;
      case '\'':
        text += "&#39;";
        break;
      case '"':
        text += "&#34;";
        break;
      default:
        text += c;
    }
  }
  return Value(std::move(text));
}

Result Batch(const Call& call) {
  TUNESMITH_ASSIGN_OR_RETURN(const List items, ItemsOf(call.value));
  const int64_t size = call.IntegerOr(0, "linecount", 0);
  if (size < 1) return absl::InvalidArgumentError("batch takes a size of at least 1");
  List batches, batch;
  for (const Value& item : items) {
    batch.push_back(item);
    if (static_cast<int64_t>(batch.size()) == size) batches.emplace_back(std::exchange(batch, {}));
  }
  const Value* fill = call.Find(1, "fill_with");
  while (fill != nullptr && !batch.empty() && static_cast<int64_t>(batch.size()) < size) {
    TUNESMITH_RETURN_IF_ERROR(call.context.budget->TakeBytes(32));
    batch.push_back(*fill);
  }
  if (!batch.empty()) batches.emplace_back(std::move(batch));
  return Value(std::move(batches));
}

Result WordCount(const Call& call) {
  return Value(static_cast<int64_t>(Split(ToText(call.value), nullptr, -1).size()));
}

Result AttributeFilter(const Call& call) {
  return GetMember(call.value, call.TextOr(0, "name", ""), false, call.context);
}

Result AsText(const Call& call) { return Value(ToText(call.value)); }

struct NamedFilter {
  std::string_view name;
  Result (*apply)(const Call&);
};
constexpr NamedFilter kFilters[] = {
    {"trim", Trim},
    {"length", Length},
    {"count", Length},
    {"default", Default},
    {"d", Default},
    {"tojson", ToJsonFilter},
    {"join", JoinFilter},
    {"upper", MapText<Upper>},
    {"lower", MapText<Lower>},
    {"title", MapText<Title>},
    {"capitalize", MapText<Capitalize>},
    {"string", AsText},
    {"safe", AsText},
    {"list", ListFilter},
    {"first", End<true>},
    {"last", End<false>},
    {"reverse", Reverse},
    {"sort", Sort},
    {"min", Extreme<true>},
    {"max", Extreme<false>},
    {"unique", Unique},
    {"map", MapFilter},
    {"select", Choose<true, false>},
    {"reject", Choose<false, false>},
    {"selectattr", Choose<true, true>},
    {"rejectattr", Choose<false, true>},
    {"items", Items},
    {"dictsort", DictSort},
    {"replace", ReplaceFilter},
    {"int", IntFilter},
    {"float", FloatFilter},
    {"indent", Indent},
    {"abs", Abs},
    {"round", Round},
    {"sum", Sum},
    {"escape", Escape},
    {"e", Escape},
    {"batch", Batch},
    {"wordcount", WordCount},
    {"attr", AttributeFilter},
};

}  // namespace

absl::StatusOr<Value> ApplyFilter(std::string_view name, const Value& value,
                                  const Arguments& arguments, const Context& context) {
  for (const NamedFilter& row : kFilters) {
    if (row.name != name) continue;
    TUNESMITH_ASSIGN_OR_RETURN(Value result, row.apply({value, arguments, context}));
    const int64_t bytes = result.text() != nullptr ? static_cast<int64_t>(result.text()->size())
                          : result.list() != nullptr
                              ? static_cast<int64_t>(result.list()->size()) * 32
                              : 0;
    TUNESMITH_RETURN_IF_ERROR(context.budget->TakeBytes(bytes));
    return result;
  }
  return absl::UnimplementedError(StrCat("the filter \"", name, "\" is not known here"));
}

}  // namespace tunesmith::trainer::jinja
