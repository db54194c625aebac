#include "trainer/data/data_row.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "common/json.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/text.h"
#include "common/utf8.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

struct FormatFields {
  RowFormat format;
  std::string_view name;
  // A row with one of the first and all of the second is of the format.
  std::string_view any;
  std::string_view all;
};
constexpr std::array<FormatFields, 5> kFormats = {{
    {RowFormat::kText, "text", "text", "text"},
    {RowFormat::kPromptCompletion, "prompt-completion", "prompt,completion", ""},
    {RowFormat::kMessages, "messages", "messages", "messages"},
    {RowFormat::kShareGpt, "sharegpt", "conversations", "conversations"},
    {RowFormat::kAlpaca, "alpaca", "instruction", "output"},
}};

constexpr std::string_view kExpected =
    "expected an object with \"text\", with \"prompt\" and \"completion\", with \"messages\", with "
    "\"conversations\", or with \"instruction\" and \"output\"";

absl::StatusOr<json> ParseObject(std::string_view line, std::string_view where) {
  if (const int64_t at = FirstInvalidUtf8(line); at >= 0)
    return absl::InvalidArgumentError(StrCat(where, ": not UTF-8 at byte ", at, " of the line"));
  TUNESMITH_ASSIGN_OR_RETURN(json object, ParseJson(line, where));
  if (!object.is_object()) return absl::InvalidArgumentError(StrCat(where, ": ", kExpected));
  return object;
}

bool HasFields(const json& object, const FormatFields& row) {
  bool has_any = false, has_all = true;
  for (const std::string_view field : StrSplit(row.any, ","))
    has_any |= object.contains(std::string(field));
  for (const std::string_view field : StrSplitSkipEmpty(row.all, ","))
    has_all &= object.contains(std::string(field));
  return has_any && has_all;
}

absl::StatusOr<std::string> NonEmptyString(const json& object, std::string_view field,
                                           std::string_view where) {
  TUNESMITH_ASSIGN_OR_RETURN(std::string text, JsonField<std::string>(object, field, where));
  if (text.empty()) return absl::InvalidArgumentError(StrCat(where, ": \"", field, "\" is empty"));
  return text;
}

jinja::Value Message(std::string_view role, std::string_view content) {
  return jinja::Dict{{"role", role}, {"content", content}};
}

// ShareGPT's names for who speaks.
std::string RoleOf(const std::string& from) {
  if (from == "human") return "user";
  if (from == "gpt" || from == "chatgpt" || from == "model" || from == "bing" || from == "bard")
    return "assistant";
  if (from == "observation" || from == "function_response") return "tool";
  return from;
}

absl::Status CheckMessage(const ordered_json& message, std::string_view where) {
  if (!message.is_object())
    return absl::InvalidArgumentError(StrCat(where, " is no object with \"role\" and \"content\""));
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string())
    return absl::InvalidArgumentError(StrCat(where, ": \"role\" must be a string"));
  if (message.contains("content") || message.contains("tool_calls")) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(where, ": \"content\" is missing"));
}

// A turn as {"from", "value"} with "role" and "content" in their place; what is so already stays.
absl::StatusOr<ordered_json> FromShareGpt(const ordered_json& turn, std::string_view where) {
  if (!turn.is_object() || !turn.contains("from")) return turn;
  const auto value = turn.find("value");
  if (!turn["from"].is_string() || value == turn.end() || !value->is_string())
    return absl::InvalidArgumentError(StrCat(where, ": \"from\" and \"value\" must be strings"));
  ordered_json message = {{"role", RoleOf(turn["from"].get<std::string>())}, {"content", *value}};
  for (const auto& [key, other] : turn.items()) {
    if (key != "from" && key != "value") message[key] = other;
  }
  return message;
}

// The row's conversation; other fields, "tools" among them, are variables of the template too.
absl::StatusOr<jinja::Dict> ChatOf(std::string_view line, const char* field,
                                   std::string_view where) {
  // Again, as templates print objects in the order of the file. It parsed before.
  ordered_json row = ordered_json::parse(line, nullptr, false);
  const auto turns = row.find(field);
  if (turns == row.end() || !turns->is_array() || turns->empty())
    return absl::InvalidArgumentError(
        StrCat(where, ": \"", field, "\" must be a list of at least one message"));
  ordered_json messages = ordered_json::array();
  for (const ordered_json& turn : *turns) {
    const std::string what = StrCat(where, ": ", field, "[", messages.size(), "]");
    TUNESMITH_ASSIGN_OR_RETURN(ordered_json message, FromShareGpt(turn, what));
    TUNESMITH_RETURN_IF_ERROR(CheckMessage(message, what));
    messages.push_back(std::move(message));
  }
  row.erase(field);
  // ShareGPT files keep the system text and the tools' JSON beside the turns.
  if (row.contains("system") && row["system"].is_string() && messages[0]["role"] != "system" &&
      !row["system"].get<std::string>().empty()) {
    ordered_json system = {{"role", "system"}, {"content", row["system"]}};
    messages.insert(messages.begin(), std::move(system));
  }
  if (row.contains("tools") && row["tools"].is_string()) {
    ordered_json tools = ordered_json::parse(row["tools"].get<std::string>(), nullptr, false);
    if (tools.is_array() && !tools.empty()) {
      row["tools"] = std::move(tools);
    } else {
      row.erase("tools");
    }
  }
  row["messages"] = std::move(messages);
  return *jinja::FromJson(row).dict();
}

// The text of the Alpaca data set's prompts (tatsu-lab/stanford_alpaca) without its first sentence.
std::string AlpacaPrompt(std::string_view instruction, std::string_view input) {
  const std::string middle = input.empty() ? "" : StrCat("### Input:\n", input, "\n\n");
  return StrCat("### Instruction:\n", instruction, "\n\n", middle, "### Response:\n");
}

absl::StatusOr<DataRow> AlpacaRow(const json& object, bool as_conversation,
                                  std::string_view where) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string instruction,
                             NonEmptyString(object, "instruction", where));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string input,
                             JsonFieldOr<std::string>(object, "input", "", where));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string output, NonEmptyString(object, "output", where));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string system,
                             JsonFieldOr<std::string>(object, "system", "", where));
  DataRow row;
  if (!as_conversation) {
    row.prompt = StrCat(system, system.empty() ? "" : "\n\n", AlpacaPrompt(instruction, input));
    row.completion = output;
    return row;
  }
  jinja::List messages;
  if (!system.empty()) messages.push_back(Message("system", system));
  messages.push_back(
      Message("user", input.empty() ? instruction : StrCat(instruction, "\n\n", input)));
  messages.push_back(Message("assistant", output));
  row.chat = {{"messages", jinja::Value(std::move(messages))}};
  return row;
}

}  // namespace

std::string_view RowFormatName(RowFormat format) {
  return kFormats[static_cast<size_t>(format)].name;
}

absl::StatusOr<RowFormat> DetectFormat(std::string_view line, std::string_view where) {
  TUNESMITH_ASSIGN_OR_RETURN(const json object, ParseObject(line, where));
  std::vector<RowFormat> found;
  std::vector<std::string_view> names;
  for (const FormatFields& row : kFormats) {
    if (!HasFields(object, row)) continue;
    found.push_back(row.format);
    names.push_back(row.name);
  }
  if (found.size() == 1) return found[0];
  // Conversations often have their first message or a title beside them.
  for (const RowFormat format : {RowFormat::kMessages, RowFormat::kShareGpt}) {
    if (std::find(found.begin(), found.end(), format) != found.end()) return format;
  }
  if (found.empty()) return absl::InvalidArgumentError(StrCat(where, ": ", kExpected));
  return absl::InvalidArgumentError(StrCat(where, ": the row could be of several forms (",
                                           StrJoin(names, ", "),
                                           "); say which with --data-format"));
}

absl::StatusOr<DataRow> ParseRow(std::string_view line, RowFormat format, bool as_conversation,
                                 std::string_view where) {
  TUNESMITH_ASSIGN_OR_RETURN(const json object, ParseObject(line, where));
  DataRow row;
  switch (format) {
    case RowFormat::kText: {
      TUNESMITH_ASSIGN_OR_RETURN(row.completion, NonEmptyString(object, "text", where));
      return row;
    }
    case RowFormat::kPromptCompletion: {
      TUNESMITH_ASSIGN_OR_RETURN(row.prompt, JsonField<std::string>(object, "prompt", where));
      TUNESMITH_ASSIGN_OR_RETURN(row.completion, NonEmptyString(object, "completion", where));
      return row;
    }
    case RowFormat::kMessages: {
      TUNESMITH_ASSIGN_OR_RETURN(row.chat, ChatOf(line, "messages", where));
      return row;
    }
    case RowFormat::kShareGpt: {
      TUNESMITH_ASSIGN_OR_RETURN(row.chat, ChatOf(line, "conversations", where));
      return row;
    }
    case RowFormat::kAlpaca:
      return AlpacaRow(object, as_conversation, where);
  }
  return absl::InternalError("a row of an unknown format");
}

}  // namespace tunesmith::trainer
