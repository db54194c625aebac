#include "common/json.h"

#include <algorithm>
#include <limits>

#include "absl/container/flat_hash_set.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith {
namespace {

using nlohmann::json;

constexpr int64_t kMaxNesting = 200;  // copying and printing recurse

// Messages quote at most this much of a value.
std::string Excerpt(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 60) text = StrCat(text.substr(0, 57), "...");
  return text;
}

absl::Status ParseError(std::string_view text, std::string_view what,
                        const json::exception& error) {
  const auto* parse_error = dynamic_cast<const json::parse_error*>(&error);
  const size_t byte = parse_error == nullptr ? 0 : std::min(parse_error->byte, text.size());
  const std::string_view before = text.substr(0, byte);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  std::string reason = error.what();
  // "[json.exception.parse_error.101] parse error at line 1, column 3: syntax error ..." : the
  // reason alone.
  if (const size_t at = reason.find(": "); at != std::string::npos) reason = reason.substr(at + 2);
  return absl::InvalidArgumentError(
      StrCat(what, ": not valid JSON at line ", line, " (byte ", byte, "): ", reason));
}

// How deep arrays and objects nest in `text`, where it is valid JSON.
int64_t NestingDepth(std::string_view text) {
  int64_t depth = 0;
  int64_t deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string) {
      if (text[i] == '\\')
        ++i;
      else if (text[i] == '"')
        in_string = false;
      continue;
    }
    if (text[i] == '"') in_string = true;
    if (text[i] == '[' || text[i] == '{') deepest = std::max(deepest, ++depth);
    if (text[i] == ']' || text[i] == '}') --depth;
  }
  return deepest;
}

template <typename Parse>
absl::StatusOr<json> CatchParse(std::string_view text, std::string_view what, const Parse& parse) {
  if (NestingDepth(text) > kMaxNesting) {
    return absl::InvalidArgumentError(
        StrCat(what, ": JSON nested deeper than ", kMaxNesting, " levels is not read"));
  }
  try {
    return parse();
  } catch (const json::exception& error) {
    return ParseError(text, what, error);
  }
}

// Sees every key of a document and remembers the first that occurs twice in one object.
class UniqueKeys {
 public:
  bool operator()(int depth, json::parse_event_t event, const json& parsed) {
    const auto level = static_cast<size_t>(depth);
    if (keys_.size() <= level + 1) keys_.resize(level + 2);
    if (event == json::parse_event_t::object_start) keys_[level + 1].clear();
    if (event == json::parse_event_t::key &&
        !keys_[level].insert(parsed.get<std::string>()).second && duplicate_.empty()) {
      duplicate_ = Excerpt(parsed);
    }
    return true;
  }
  const std::string& duplicate() const { return duplicate_; }  // quoted; empty: none

 private:
  std::vector<absl::flat_hash_set<std::string>> keys_;  // by depth
  std::string duplicate_;
};

absl::Status WrongType(std::string_view what, std::string_view field, std::string_view wanted,
                       const json& found) {
  return absl::InvalidArgumentError(
      StrCat(what, ": \"", field, "\" must be ", wanted, ", found ", Excerpt(found)));
}

// One overload per T of JsonField; false: `value` is not one.
bool Convert(const json& value, bool& out) {
  if (value.is_boolean()) out = value.get<bool>();
  return value.is_boolean();
}
bool Convert(const json& value, int64_t& out) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() &&
      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return false;
  }
  out = value.get<int64_t>();
  return true;
}
bool Convert(const json& value, double& out) {
  if (value.is_number()) out = value.get<double>();
  return value.is_number();
}
bool Convert(const json& value, std::string& out) {
  if (value.is_string()) out = value.get<std::string>();
  return value.is_string();
}
template <typename Element>
bool Convert(const json& value, std::vector<Element>& out) {
  if (!value.is_array()) return false;
  out.resize(value.size());
  for (size_t i = 0; i < out.size(); ++i) {
    if (!Convert(value[i], out[i])) return false;
  }
  return true;
}

template <typename T>
constexpr std::string_view kWanted = "";
template <>
constexpr std::string_view kWanted<bool> = "true or false";
template <>
constexpr std::string_view kWanted<int64_t> = "an integer of at most 63 bits";
template <>
constexpr std::string_view kWanted<double> = "a number";
template <>
constexpr std::string_view kWanted<std::string> = "a string";
template <>
constexpr std::string_view kWanted<std::vector<int64_t>> = "an array of integers";
template <>
constexpr std::string_view kWanted<std::vector<std::string>> = "an array of strings";

}  // namespace

absl::StatusOr<json> ParseJson(std::string_view text, std::string_view what) {
  return CatchParse(text, what, [&] { return json::parse(text.begin(), text.end()); });
}

absl::StatusOr<json> ParseJsonWithUniqueKeys(std::string_view text, std::string_view what) {
  UniqueKeys unique;
  TUNESMITH_ASSIGN_OR_RETURN(json value, CatchParse(text, what, [&] {
                               return json::parse(text.begin(), text.end(), std::ref(unique));
                             }));
  if (!unique.duplicate().empty()) {
    return absl::InvalidArgumentError(
        StrCat(what, ": the name ", unique.duplicate(), " occurs twice in one object"));
  }
  return value;
}

absl::StatusOr<const json*> JsonMember(const json& object, std::string_view field,
                                       std::string_view what) {
  if (!object.is_object()) {
    return absl::InvalidArgumentError(
        StrCat(what, ": expected an object, found ", Excerpt(object)));
  }
  const auto member = object.find(field);
  if (member == object.end()) {
    return absl::InvalidArgumentError(StrCat(what, ": the field \"", field, "\" is missing"));
  }
  return &*member;
}

absl::StatusOr<const json*> JsonArray(const json& object, std::string_view field,
                                      std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const json* member, JsonMember(object, field, what));
  if (!member->is_array()) return WrongType(what, field, "an array", *member);
  return member;
}

absl::StatusOr<const json*> JsonObject(const json& object, std::string_view field,
                                       std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const json* member, JsonMember(object, field, what));
  if (!member->is_object()) return WrongType(what, field, "an object", *member);
  return member;
}

template <typename T>
absl::StatusOr<T> JsonField(const json& object, std::string_view field, std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const json* member, JsonMember(object, field, what));
  T value = {};
  if (!Convert(*member, value)) return WrongType(what, field, kWanted<T>, *member);
  return value;
}

template <typename T>
absl::StatusOr<T> JsonFieldOr(const json& object, std::string_view field, T fallback,
                              std::string_view what) {
  if (object.is_object()) {
    const auto member = object.find(field);
    if (member == object.end() || member->is_null()) return fallback;
  }
  return JsonField<T>(object, field, what);
}

#define TUNESMITH_JSON_FIELD(T)                                                             \
  template absl::StatusOr<T> JsonField<T>(const json&, std::string_view, std::string_view); \
  template absl::StatusOr<T> JsonFieldOr<T>(const json&, std::string_view, T, std::string_view)
TUNESMITH_JSON_FIELD(bool);
TUNESMITH_JSON_FIELD(int64_t);
TUNESMITH_JSON_FIELD(double);
TUNESMITH_JSON_FIELD(std::string);
TUNESMITH_JSON_FIELD(std::vector<int64_t>);
TUNESMITH_JSON_FIELD(std::vector<std::string>);
#undef TUNESMITH_JSON_FIELD

std::string FormatJson(const json& value) {
  return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace tunesmith
