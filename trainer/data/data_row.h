#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "trainer/jinja/value.h"

namespace tunesmith::trainer {

// What the rows of a data set look like.
enum class RowFormat {
  kText,              // {"text": "..."}
  kPromptCompletion,  // {"prompt": "...", "completion": "..."}
  kMessages,          // {"messages": [{"role": "user", "content": "..."}, ...]}
  kShareGpt,          // {"conversations": [{"from": "human", "value": "..."}, ...]}
  kAlpaca,  // {"instruction": "...", "input": "...", "output": "..."}; "input" may be missing or empty
};

// "text", "prompt-completion", "messages", "sharegpt" or "alpaca".
std::string_view RowFormatName(RowFormat format);

// A row, whatever it looked like: a text to learn behind a prompt that is not, or a conversation.
struct DataRow {
  std::string prompt;
  std::string completion;
  // What a chat template sees: "messages", and "tools" and what else the row holds. Empty where the row is no conversation.
  jinja::Dict chat;
};

// The format that the fields of a row tell; a conversation where there is one. INVALID_ARGUMENT, beginning with `where`, names the fields that were looked for, or the formats that the row
// could be of; or the row is no JSON object.
absl::StatusOr<RowFormat> DetectFormat(std::string_view line, std::string_view where);

// Reads one line. Alpaca rows become a conversation where `as_conversation`, else Alpaca's own prompt. INVALID_ARGUMENT, beginning with `where`, names
// the field that is missing or wrong; the line is not UTF-8 or no JSON object.
absl::StatusOr<DataRow> ParseRow(std::string_view line, RowFormat format, bool as_conversation,
                                 std::string_view where);

}  // namespace tunesmith::trainer
