#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/jinja/builtins.h"
#include "trainer/jinja/python_text.h"

namespace tunesmith::trainer::jinja {
namespace {

// An argument that must be text where it is given; nullptr where it is not, or none.
absl::StatusOr<const std::string*> OptionalText(const Arguments& arguments, size_t index,
                                                std::string_view name) {
  const Value* value = arguments.Find(index, name);
  if (value == nullptr || value->is_none()) return nullptr;
  TUNESMITH_RETURN_IF_ERROR(RequireDefined(*value));
  if (value->text() != nullptr) return value->text();
  return absl::InvalidArgumentError(
      StrCat("the argument ", name, " must be a str, not a ", value->KindName()));
}

absl::StatusOr<std::string> Text(const Arguments& arguments, size_t index, std::string_view name) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string* text, OptionalText(arguments, index, name));
  if (text != nullptr) return *text;
  return absl::InvalidArgumentError(StrCat("the argument ", name, " is missing"));
}

absl::StatusOr<int64_t> Integer(const Arguments& arguments, size_t index, std::string_view name,
                                int64_t fallback) {
  const Value* value = arguments.Find(index, name);
  if (value == nullptr || value->is_none()) return fallback;
  if (value->IsNumber() && value->real() == nullptr) return value->AsInteger();
  return absl::InvalidArgumentError(
      StrCat("the argument ", name, " must be an int, not a ", value->KindName()));
}

List ToList(const std::vector<std::string_view>& pieces) {
  return List(pieces.begin(), pieces.end());
}

using Result = absl::StatusOr<Value>;
using TextMethod = Result (*)(const std::string& text, const Arguments& arguments);

template <bool kLeft, bool kRight>
Result StripMethod(const std::string& text, const Arguments& arguments) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string* characters, OptionalText(arguments, 0, "chars"));
  return Value(Strip(text, characters, {kLeft, kRight}));
}

template <std::vector<std::string_view> (*kSplit)(std::string_view, const std::string*, int64_t)>
Result SplitMethod(const std::string& text, const Arguments& arguments) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string* separator, OptionalText(arguments, 0, "sep"));
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t limit, Integer(arguments, 1, "maxsplit", -1));
  if (separator != nullptr && separator->empty())
    return absl::InvalidArgumentError("the separator of a split is empty");
  return Value(ToList(kSplit(text, separator, limit)));
}

Result SplitLinesMethod(const std::string& text, const Arguments& arguments) {
  const Value* keeps = arguments.Find(0, "keepends");
  return Value(ToList(SplitLines(text, keeps != nullptr && keeps->IsTrue())));
}

// startswith and endswith: one text, or any of a list.
template <bool kStart>
Result AffixMethod(const std::string& text, const Arguments& arguments) {
  const Value* affix = arguments.Find(0, "prefix");
  const auto fits = [&](const Value& value) {
    return value.text() != nullptr &&
           (kStart ? text.starts_with(*value.text()) : text.ends_with(*value.text()));
  };
  if (affix != nullptr && affix->list() != nullptr)
    return Value(std::any_of(affix->list()->begin(), affix->list()->end(), fits));
  TUNESMITH_RETURN_IF_ERROR(Text(arguments, 0, kStart ? "prefix" : "suffix").status());
  return Value(fits(*affix));
}

template <std::string (*kMap)(std::string_view)>
Result MapMethod(const std::string& text, const Arguments&) {
  return Value(kMap(text));
}

template <bool (*kPasses)(char32_t)>
Result AllMethod(const std::string& text, const Arguments&) {
  return Value(IsAll(text, kPasses));
}

template <bool (*kHas)(std::string_view)>
Result CaseMethod(const std::string& text, const Arguments&) {
  return Value(kHas(text));
}

Result ReplaceMethod(const std::string& text, const Arguments& arguments) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string old, Text(arguments, 0, "old"));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string with, Text(arguments, 1, "new"));
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t limit, Integer(arguments, 2, "count", -1));
  return Value(Replace(text, old, with, limit));
}

// find, rfind and index, in characters.
template <bool kFromRight, bool kMustBeThere>
Result FindMethodOfText(const std::string& text, const Arguments& arguments) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string part, Text(arguments, 0, "sub"));
  const size_t at = kFromRight ? text.rfind(part) : text.find(part);
  if (at != std::string::npos) return Value(CharacterCount(std::string_view(text).substr(0, at)));
  if (kMustBeThere) return absl::InvalidArgumentError("substring not found");
  return Value(int64_t{-1});
}

Result CountMethod(const std::string& text, const Arguments& arguments) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string part, Text(arguments, 0, "sub"));
  if (part.empty()) return Value(CharacterCount(text) + 1);
  return Value(static_cast<int64_t>(Split(text, &part, -1).size()) - 1);
}

Result JoinMethod(const std::string& text, const Arguments& arguments) {
  if (arguments.positional.empty())
    return absl::InvalidArgumentError("the argument iterable is missing");
  TUNESMITH_ASSIGN_OR_RETURN(const List items, ItemsOf(arguments.positional[0]));
  std::string joined;
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].text() == nullptr)
      return absl::InvalidArgumentError(
          StrCat("item ", i, " of a join is a ", items[i].KindName(), ", not a str"));
    joined.append(i > 0 ? text : "").append(*items[i].text());
  }
  return Value(std::move(joined));
}

template <bool kPrefix>
Result RemoveMethod(const std::string& text, const Arguments& arguments) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string affix, Text(arguments, 0, "affix"));
  const std::string_view view = text;
  const bool fits = kPrefix ? view.starts_with(affix) : view.ends_with(affix);
  if (!fits) return Value(text);
  return Value(kPrefix ? view.substr(affix.size()) : view.substr(0, view.size() - affix.size()));
}

struct NamedTextMethod {
  std::string_view name;
  TextMethod method;
};
constexpr std::array<NamedTextMethod, 27> kTextMethods = {{
    {"strip", StripMethod<true, true>},
    {"lstrip", StripMethod<true, false>},
    {"rstrip", StripMethod<false, true>},
    {"split", SplitMethod<Split>},
    {"rsplit", SplitMethod<SplitFromRight>},
    {"splitlines", SplitLinesMethod},
    {"startswith", AffixMethod<true>},
    {"endswith", AffixMethod<false>},
    {"upper", MapMethod<Upper>},
    {"lower", MapMethod<Lower>},
    {"title", MapMethod<Title>},
    {"capitalize", MapMethod<Capitalize>},
    {"replace", ReplaceMethod},
    {"find", FindMethodOfText<false, false>},
    {"rfind", FindMethodOfText<true, false>},
    {"index", FindMethodOfText<false, true>},
    {"count", CountMethod},
    {"join", JoinMethod},
    {"removeprefix", RemoveMethod<true>},
    {"removesuffix", RemoveMethod<false>},
    {"isdigit", AllMethod<IsDecimal>},
    {"isdecimal", AllMethod<IsDecimal>},
    {"isalpha", AllMethod<IsLetter>},
    {"isalnum", AllMethod<IsLetterOrNumber>},
    {"isspace", AllMethod<IsPythonSpace>},
    {"isupper", CaseMethod<HasUpperOnly>},
    {"islower", CaseMethod<HasLowerOnly>},
}};

Value Bound(std::string_view name, std::function<Result(const Arguments&)> call) {
  return Callable{std::string(name), std::move(call)};
}

Value TextMethodOf(const Value& value, std::string_view name, const Context& context) {
  for (const NamedTextMethod& row : kTextMethods) {
    if (row.name != name) continue;
    return Bound(
        name, [value, method = row.method, &context](const Arguments& arguments) -> Result {
          TUNESMITH_ASSIGN_OR_RETURN(Value result, method(*value.text(), arguments));
          const auto bytes = static_cast<int64_t>(result.text() != nullptr ? result.text()->size()
                                                                           : value.text()->size());
          TUNESMITH_RETURN_IF_ERROR(context.budget->TakeBytes(bytes));
          return result;
        });
  }
  return Undefined{};
}

List PairsOf(const Dict& dict) {
  List pairs;
  for (const auto& [key, value] : dict) pairs.push_back(Value::Tuple({key, value}));
  return pairs;
}

Result Get(const Dict& dict, const Arguments& arguments) {
  if (arguments.positional.empty())
    return absl::InvalidArgumentError("the argument key is missing");
  const Value& key = arguments.positional[0];
  const Value* found = key.text() == nullptr ? nullptr : FindKey(dict, *key.text());
  if (found != nullptr) return *found;
  const Value* fallback = arguments.Find(1, "default");
  return fallback != nullptr ? *fallback : Value(None());
}

Value DictMethodOf(const Value& value, std::string_view name) {
  const auto bind = [&](auto call) {
    return Bound(name,
                 [value, call](const Arguments& a) -> Result { return call(*value.dict(), a); });
  };
  if (name == "items")
    return bind([](const Dict& dict, const Arguments&) -> Result { return Value(PairsOf(dict)); });
  if (name == "keys")
    return Bound(name, [value](const Arguments&) -> Result {
      TUNESMITH_ASSIGN_OR_RETURN(List keys, ItemsOf(value));
      return Value(std::move(keys));
    });
  if (name == "values") {
    return bind([](const Dict& dict, const Arguments&) -> Result {
      List values;
      for (const auto& entry : dict) values.push_back(entry.second);
      return Value(std::move(values));
    });
  }
  if (name == "get") return bind(Get);
  if (name == "copy") return Bound(name, [value](const Arguments&) -> Result { return value; });
  return Undefined{};
}

Value ListMethodOf(const Value& value, std::string_view name) {
  if (name == "copy") return Bound(name, [value](const Arguments&) -> Result { return value; });
  if (name != "index" && name != "count") return Undefined{};
  const bool counts = name == "count";
  return Bound(name, [value, counts](const Arguments& arguments) -> Result {
    if (arguments.positional.empty())
      return absl::InvalidArgumentError("the argument value is missing");
    const List& list = *value.list();
    const auto fits = [&](const Value& item) { return AreEqual(item, arguments.positional[0]); };
    if (counts) return Value(int64_t{std::count_if(list.begin(), list.end(), fits)});
    const auto at = std::find_if(list.begin(), list.end(), fits);
    if (at == list.end()) return absl::InvalidArgumentError("the value is not in the list");
    return Value(int64_t{at - list.begin()});
  });
}

// loop.cycle("a", "b") and loop.changed(x).
Value LoopMethodOf(const Value& value, std::string_view name) {
  if (name == "cycle") {
    return Bound(name, [value](const Arguments& arguments) -> Result {
      if (arguments.positional.empty()) return absl::InvalidArgumentError("nothing to cycle over");
      const auto count = static_cast<int64_t>(arguments.positional.size());
      return arguments.positional[static_cast<size_t>(value.loop()->index % count)];
    });
  }
  if (name != "changed") return Undefined{};
  return Bound(name, [value](const Arguments& arguments) -> Result {
    Loop& loop = *value.loop();
    const Value now(arguments.positional);
    if (loop.has_changed && AreEqual(loop.last_changed, now)) return Value(false);
    loop.has_changed = true;
    loop.last_changed = now;
    return Value(true);
  });
}

Value LoopVariable(const Loop& loop, std::string_view name) {
  const List& items = *loop.items.list();
  const auto count = static_cast<int64_t>(items.size());
  const int64_t index = loop.index;
  if (name == "index") return index + 1;
  if (name == "index0") return index;
  if (name == "revindex") return count - index;
  if (name == "revindex0") return count - index - 1;
  if (name == "first") return index == 0;
  if (name == "last") return index + 1 == count;
  if (name == "length") return count;
  if (name == "depth") return int64_t{1};  // of recursive loops, which are not known here
  if (name == "depth0") return int64_t{0};
  if (name == "previtem" && index > 0) return items[static_cast<size_t>(index - 1)];
  if (name == "nextitem" && index + 1 < count) return items[static_cast<size_t>(index + 1)];
  return Undefined{StrCat("loop.", name, " is undefined")};
}

}  // namespace

Value FindMethod(const Value& value, std::string_view name, const Context& context) {
  if (value.text() != nullptr) return TextMethodOf(value, name, context);
  if (value.dict() != nullptr) return DictMethodOf(value, name);
  if (value.list() != nullptr) return ListMethodOf(value, name);
  if (value.loop() != nullptr) return LoopMethodOf(value, name);
  return Undefined{};
}

absl::StatusOr<Value> GetMember(const Value& value, std::string_view name, bool prefers_item,
                                const Context& context) {
  TUNESMITH_RETURN_IF_ERROR(RequireDefined(value));
  const Dict* dict = value.name_space() != nullptr ? &value.name_space()->values : value.dict();
  const Value* item = dict == nullptr ? nullptr : FindKey(*dict, name);
  if (prefers_item && item != nullptr) return *item;
  Value method = FindMethod(value, name, context);
  if (!method.is_undefined()) return method;
  if (item != nullptr) return *item;
  if (value.loop() != nullptr) return LoopVariable(*value.loop(), name);
  return Value(Undefined{StrCat("'", value.KindName(), " object' has no attribute '", name, "'")});
}

}  // namespace tunesmith::trainer::jinja
