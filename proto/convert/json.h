#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message.h"

// Protobuf's JSON with the fields' original names: the one JSON of every file and of `-o json`.
// 64-bit integers are strings, as protobuf defines.
namespace tunesmith::convert {

enum class JsonLayout { kIndented, kOneLine };

// Fields at their default are printed too, so that a reader sees every field there is.
std::string ToJson(const google::protobuf::Message& message,
                   JsonLayout layout = JsonLayout::kIndented);

enum class UnknownFields { kRefuse, kIgnore };

// Replaces `message`. INVALID_ARGUMENT says what is wrong and where; `what` names the text
// ("plan.json").
absl::Status FromJson(std::string_view json, std::string_view what,
                      google::protobuf::Message* message,
                      UnknownFields unknown_fields = UnknownFields::kRefuse);

// The message in the JSON file at `path`. Errors of reading the file, and INVALID_ARGUMENT naming
// the file.
absl::Status ReadJsonFile(const std::string& path, google::protobuf::Message* message,
                          UnknownFields unknown_fields = UnknownFields::kRefuse);

// Writes the message as an indented JSON file, atomically.
absl::Status WriteJsonFile(const std::string& path, const google::protobuf::Message& message);

}  // namespace tunesmith::convert
