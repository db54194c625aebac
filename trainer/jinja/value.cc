#include "trainer/jinja/value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/jinja/python_text.h"

namespace tunesmith::trainer::jinja {
namespace {

// Python's repr: the shortest digits, with an exponent below 1e-4 and from 1e16 on.
std::string RealText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  const double size = std::abs(value);
  const bool has_exponent = size != 0 && (size < 1e-4 || size >= 1e16);
  std::array<char, 400> text;
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), value,
                    has_exponent ? std::chars_format::scientific : std::chars_format::fixed);
  std::string result(text.data(), end.ptr);
  if (!has_exponent && result.find('.') == std::string::npos) result += ".0";
  return result;
}

template <typename Range, typename Write>
std::string Joined(const Range& range, char open, char close, const Write& write) {
  std::string result(1, open);
  std::string_view separator;
  for (const auto& item : range) {
    result.append(separator).append(write(item));
    separator = ", ";
  }
  return result + close;
}

bool AreEqualDicts(const Dict& a, const Dict& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const auto& entry) {
           const Value* other = FindKey(b, entry.first);
           return other != nullptr && AreEqual(entry.second, *other);
         });
}

absl::StatusOr<int> CompareLists(const List& a, const List& b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (AreEqual(a[i], b[i])) continue;
    return Compare(a[i], b[i]);
  }
  return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

}  // namespace

const Value* Arguments::Find(size_t index, std::string_view name) const {
  if (index < positional.size()) return &positional[index];
  return FindKey(named, name);
}

Value::Value(List value) {
  for (const Value& item : value) depth_ = std::max(depth_, item.depth());
  ++depth_;
  data_ = std::make_shared<const List>(std::move(value));
}

Value::Value(Dict value) {
  for (const auto& entry : value) depth_ = std::max(depth_, entry.second.depth());
  ++depth_;
  data_ = std::make_shared<const Dict>(std::move(value));
}

Value Value::Tuple(List value) {
  Value result(std::move(value));
  result.is_tuple_ = true;
  return result;
}

bool Value::IsTrue() const {
  if (is_undefined() || is_none()) return false;
  if (IsNumber()) return AsReal() != 0;
  if (text() != nullptr) return !text()->empty();
  if (list() != nullptr) return !list()->empty();
  if (dict() != nullptr) return !dict()->empty();
  return true;
}

double Value::AsReal() const {
  return real() != nullptr ? *real() : static_cast<double>(AsInteger());
}

int64_t Value::AsInteger() const {
  if (boolean() != nullptr) return *boolean() ? 1 : 0;
  return integer() != nullptr ? *integer() : 0;
}

std::string_view Value::KindName() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "None";
  if (boolean() != nullptr) return "bool";
  if (integer() != nullptr) return "int";
  if (real() != nullptr) return "float";
  if (text() != nullptr) return "str";
  if (list() != nullptr) return is_tuple_ ? "tuple" : "list";
  if (dict() != nullptr) return "dict";
  if (name_space() != nullptr) return "namespace";
  return loop() != nullptr ? "loop" : "function";
}

bool Value::IsSame(const Value& other) const {
  if (text() != nullptr) return text() == other.text();
  if (list() != nullptr) return list() == other.list();
  return dict() != nullptr && dict() == other.dict();
}

const Value* FindKey(const Dict& dict, std::string_view key) {
  for (const auto& [name, value] : dict) {
    if (name == key) return &value;
  }
  return nullptr;
}

void SetKey(std::string key, Value value, Dict* dict) {
  for (auto& [name, old] : *dict) {
    if (name != key) continue;
    old = std::move(value);
    return;
  }
  dict->emplace_back(std::move(key), std::move(value));
}

Value FromJson(const nlohmann::ordered_json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    List list;
    for (const auto& item : json) list.push_back(FromJson(item));
    return list;
  }
  if (!json.is_object()) return None();
  Dict dict;
  for (const auto& [key, value] : json.items()) dict.emplace_back(key, FromJson(value));
  return dict;
}

std::string ToText(const Value& value) {
  if (value.is_undefined()) return "";
  if (value.is_none()) return "None";
  if (const bool* boolean = value.boolean()) return *boolean ? "True" : "False";
  if (const int64_t* integer = value.integer()) return StrCat(*integer);
  if (const double* real = value.real()) return RealText(*real);
  if (const std::string* text = value.text()) return *text;
  if (const List* list = value.list()) {
    if (!value.is_tuple()) return Joined(*list, '[', ']', ToRepresentation);
    const std::string text = Joined(*list, '(', ')', ToRepresentation);
    return list->size() == 1 ? StrCat(text.substr(0, text.size() - 1), ",)") : text;
  }
  if (const Dict* dict = value.dict()) {
    return Joined(*dict, '{', '}', [](const auto& entry) {
      return StrCat(QuotedAsPython(entry.first), ": ", ToRepresentation(entry.second));
    });
  }
  return StrCat("<", value.KindName(), ">");
}

std::string ToRepresentation(const Value& value) {
  if (value.is_undefined()) return "Undefined";
  const std::string* text = value.text();
  return text == nullptr ? ToText(value) : QuotedAsPython(*text);
}

bool AreEqual(const Value& a, const Value& b) {
  if (a.IsNumber() && b.IsNumber()) {
    if (a.real() == nullptr && b.real() == nullptr) return a.AsInteger() == b.AsInteger();
    return a.AsReal() == b.AsReal();
  }
  if (a.text() != nullptr && b.text() != nullptr) return *a.text() == *b.text();
  if (a.list() != nullptr && b.list() != nullptr && a.is_tuple() == b.is_tuple()) {
    return std::equal(a.list()->begin(), a.list()->end(), b.list()->begin(), b.list()->end(),
                      AreEqual);
  }
  if (a.dict() != nullptr && b.dict() != nullptr) return AreEqualDicts(*a.dict(), *b.dict());
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

absl::StatusOr<int> Compare(const Value& a, const Value& b) {
  if (a.IsNumber() && b.IsNumber()) {
    const double left = a.AsReal(), right = b.AsReal();
    return left < right ? -1 : left > right ? 1 : 0;
  }
  if (a.text() != nullptr && b.text() != nullptr) return a.text()->compare(*b.text());
  if (a.list() != nullptr && b.list() != nullptr) return CompareLists(*a.list(), *b.list());
  return absl::InvalidArgumentError(
      StrCat("a ", a.KindName(), " and a ", b.KindName(), " have no order"));
}

absl::StatusOr<List> ItemsOf(const Value& value) {
  if (value.is_undefined()) return List();
  if (value.list() != nullptr) return *value.list();
  if (value.text() != nullptr) return CharactersOf(*value.text());
  if (value.dict() == nullptr)
    return absl::InvalidArgumentError(StrCat("a ", value.KindName(), " cannot be gone over"));
  List keys;
  for (const auto& entry : *value.dict()) keys.emplace_back(entry.first);
  return keys;
}

absl::StatusOr<int64_t> LengthOf(const Value& value) {
  if (value.text() != nullptr) return CharacterCount(*value.text());
  TUNESMITH_ASSIGN_OR_RETURN(const List items, ItemsOf(value));
  return static_cast<int64_t>(items.size());
}

}  // namespace tunesmith::trainer::jinja
