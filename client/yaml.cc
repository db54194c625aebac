#include "client/yaml.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "common/str_cat.h"
#include "common/text.h"
#include "nlohmann/json.hpp"

namespace tunesmith::client {
namespace {

using Json = nlohmann::ordered_json;

// A letter first, then nothing that YAML gives a meaning to; not one of the words that YAML 1.1 reads as a truth value or as nothing.
bool StandsPlain(std::string_view text) {
  if (text.empty() || !absl::ascii_isalpha(text.front())) return false;
  const bool harmless = std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || std::string_view("_-./+=").find(c) != std::string_view::npos;
  });
  static constexpr std::string_view kWords[] = {"true", "false", "yes", "no", "on",
                                                "off",  "null",  "y",   "n"};
  return harmless && std::none_of(std::begin(kWords), std::end(kWords), [&](std::string_view word) {
           return EqualsIgnoreCase(word, text);
         });
}

// A JSON string is a double-quoted scalar of YAML.
std::string Scalar(const Json& value) {
  if (value.is_string() && StandsPlain(value.get_ref<const std::string&>()))
    return value.get<std::string>();
  return value.dump();
}

bool IsBlock(const Json& value) { return value.is_structured() && !value.empty(); }

void Write(const Json& value, int depth, bool after_dash, std::string& text);

// A member's or an item's value, after its key or dash.
void WriteValue(const Json& value, int depth, bool in_list, std::string& text) {
  if (!IsBlock(value)) {
    absl::StrAppend(&text, " ", Scalar(value), "\n");
    return;
  }
  text += in_list ? " " : "\n";
  Write(value, depth + 1, in_list, text);
}

// The first line of a block after a dash stands on the dash's line.
void Write(const Json& value, int depth, bool after_dash, std::string& text) {
  const std::string indent(static_cast<size_t>(2 * depth), ' ');
  bool first = after_dash;
  for (auto item = value.begin(); item != value.end(); ++item) {
    if (!first) text += indent;
    first = false;
    text += value.is_object() ? StrCat(Scalar(Json(item.key())), ":") : "-";
    WriteValue(*item, depth, value.is_array(), text);
  }
}

}  // namespace

std::string YamlOfJson(const std::string& json) {
  const Json value = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!IsBlock(value)) return StrCat(Scalar(value), "\n");
  std::string text;
  Write(value, 0, /*after_dash=*/false, text);
  return text;
}

}  // namespace tunesmith::client
