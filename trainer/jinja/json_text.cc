#include <algorithm>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/jinja/value.h"

namespace tunesmith::trainer::jinja {
namespace {

std::string JsonString(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        result += "\\\"";
        break;
      case '\\':
        result += "\\\\";
        break;
      case '\n':
        result += "\\n";
        break;
      case '\r':
        result += "\\r";
        break;
      case '\t':
        result += "\\t";
        break;
      case '\b':
        result += "\\b";
        break;
      case '\f':
        result += "\\f";
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          constexpr std::string_view kDigits = "0123456789abcdef";
          result += StrCat("\\u00", c < 0x10 ? "0" : "1");
          result += kDigits[static_cast<uint8_t>(c) % 16];
        } else {
          result += c;
        }
    }
  }
  return result + "\"";
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  absl::Status Write(const Value& value, int64_t depth) {
    if (const List* list = value.list()) return WriteAll(*list, '[', ']', depth);
    if (const Dict* dict = value.dict()) {
      Dict entries = *dict;
      if (style_.sorts_keys)
        std::sort(entries.begin(), entries.end(),
                  [](const auto& a, const auto& b) { return a.first < b.first; });
      return WriteAll(entries, '{', '}', depth);
    }
    if (const std::string* text = value.text()) {
      result_ += JsonString(*text);
    } else if (value.is_none()) {
      result_ += "null";
    } else if (const bool* boolean = value.boolean()) {
      result_ += *boolean ? "true" : "false";
    } else if (value.IsNumber()) {
      result_ += ToText(value);
    } else {
      return absl::InvalidArgumentError(
          StrCat("an object of type ", value.KindName(), " has no JSON form"));
    }
    return absl::OkStatus();
  }

  std::string Finish() { return std::move(result_); }

 private:
  template <typename Range>
  absl::Status WriteAll(const Range& range, char open, char close, int64_t depth) {
    result_ += open;
    bool is_first = true;
    for (const auto& item : range) {
      if (!is_first) result_ += style_.indent < 0 ? ", " : ",";
      is_first = false;
      NewLine(depth + 1);
      TUNESMITH_RETURN_IF_ERROR(WriteItem(item, depth + 1));
    }
    if (!is_first) NewLine(depth);
    result_ += close;
    return absl::OkStatus();
  }

  absl::Status WriteItem(const Value& item, int64_t depth) { return Write(item, depth); }
  absl::Status WriteItem(const std::pair<std::string, Value>& entry, int64_t depth) {
    result_ += JsonString(entry.first) + ": ";
    return Write(entry.second, depth);
  }

  void NewLine(int64_t depth) {
    if (style_.indent < 0) return;
    result_ += '\n';
    result_.append(static_cast<size_t>(style_.indent * depth), ' ');
  }

  JsonStyle style_;
  std::string result_;
};

}  // namespace

absl::StatusOr<std::string> ToJson(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  TUNESMITH_RETURN_IF_ERROR(writer.Write(value, 0));
  return writer.Finish();
}

}  // namespace tunesmith::trainer::jinja
