#include "proto/convert/json.h"

#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/json_util.h"

namespace tunesmith::convert {

std::string ToJson(const google::protobuf::Message& message, JsonLayout layout) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = layout == JsonLayout::kIndented;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails only for Any of unknown type and for invalid timestamps, which none of our messages hold.
  (void)google::protobuf::util::MessageToJsonString(message, &json, options);
  return json;
}

absl::Status FromJson(std::string_view json, std::string_view what,
                      google::protobuf::Message* message, UnknownFields unknown_fields) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = unknown_fields == UnknownFields::kIgnore;
  const auto status =
      google::protobuf::util::JsonStringToMessage({json.data(), json.size()}, message, options);
  if (status.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(what, " is not a valid ",
                                           message->GetDescriptor()->name(), ": ",
                                           std::string(status.message())));
}

absl::Status ReadJsonFile(const std::string& path, google::protobuf::Message* message,
                          UnknownFields unknown_fields) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  return FromJson(json, path, message, unknown_fields);
}

absl::Status WriteJsonFile(const std::string& path, const google::protobuf::Message& message) {
  return WriteFileAtomically(path, ToJson(message));
}

}  // namespace tunesmith::convert
