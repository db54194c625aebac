#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

// JSON that comes from files and people. No exception of the library escapes; INVALID_ARGUMENT
// messages start with `what`, which names the text (a path, mostly) or the object inside it.
namespace tunesmith {

// `text` must be one JSON value in UTF-8, nested at most 200 levels deep. The message gives line, column and reason.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, std::string_view what);

// As ParseJson, and refuses an object in which a key occurs twice (ParseJson keeps the last).
absl::StatusOr<nlohmann::json> ParseJsonWithUniqueKeys(std::string_view text,
                                                       std::string_view what);

// The member `field`, which must be there.
absl::StatusOr<const nlohmann::json*> JsonMember(const nlohmann::json& object,
                                                 std::string_view field, std::string_view what);
// As JsonMember, and it must be an array or an object.
absl::StatusOr<const nlohmann::json*> JsonArray(const nlohmann::json& object,
                                                std::string_view field, std::string_view what);
absl::StatusOr<const nlohmann::json*> JsonObject(const nlohmann::json& object,
                                                 std::string_view field, std::string_view what);

// The member `field` as T: bool, int64_t, double (integers are taken too), std::string,
// std::vector<int64_t> or std::vector<std::string>. The message names the field and what was found.
template <typename T>
absl::StatusOr<T> JsonField(const nlohmann::json& object, std::string_view field,
                            std::string_view what);

// As JsonField; `fallback` where the member is absent or null.
template <typename T>
absl::StatusOr<T> JsonFieldOr(const nlohmann::json& object, std::string_view field, T fallback,
                              std::string_view what);

// The text of `value`, indented by two spaces, ending in a newline; invalid UTF-8 is replaced.
std::string FormatJson(const nlohmann::json& value);

}  // namespace tunesmith
