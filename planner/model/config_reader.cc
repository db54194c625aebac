#include "planner/model/config_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/text.h"

namespace tunesmith::planner {
namespace {

using nlohmann::json;

constexpr size_t kShownLength = 60;

// The value as the file has it, cut to what fits into a message.
std::string Shown(const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > kShownLength) text = text.substr(0, kShownLength) + "...";
  return text;
}

bool FitsInt64(const json& value) {
  return !value.is_number_unsigned() ||
         value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
}

}  // namespace

absl::Status ConfigProblems::ToStatus(std::string_view name) const {
  if (empty()) return absl::OkStatus();
  std::vector<std::string> all = invalid;
  all.insert(all.end(), unsupported.begin(), unsupported.end());
  const std::string message = StrCat("config.json of '", name, "': ", StrJoin(all, "; "));
  return invalid.empty() ? absl::UnimplementedError(message) : absl::InvalidArgumentError(message);
}

const json* ConfigReader::Find(const char* field) const {
  const auto found = object_.find(field);
  if (found == object_.end() || found->is_null()) return nullptr;
  return &*found;
}

void ConfigReader::WrongType(const char* field, std::string_view wanted) {
  Invalid(StrCat(path_, field, " must be ", wanted, ", found ", Shown(*Find(field))));
  MarkTold(field);
}

void ConfigReader::Missing(const char* field) {
  Invalid(StrCat(path_, field, " is missing"));
  MarkTold(field);
}

std::optional<int64_t> ConfigReader::Integer(const char* field) {
  const json* value = Find(field);
  if (value == nullptr) return std::nullopt;
  if (value->is_number_integer() && FitsInt64(*value)) return value->get<int64_t>();
  WrongType(field, "an integer of at most 63 bits");
  return std::nullopt;
}

std::optional<double> ConfigReader::Real(const char* field) {
  const json* value = Find(field);
  if (value == nullptr) return std::nullopt;
  if (value->is_number() && std::isfinite(value->get<double>())) return value->get<double>();
  WrongType(field, "a finite number");
  return std::nullopt;
}

std::optional<bool> ConfigReader::Boolean(const char* field) {
  const json* value = Find(field);
  if (value == nullptr) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  WrongType(field, "true or false");
  return std::nullopt;
}

std::optional<std::string> ConfigReader::Text(const char* field) {
  const json* value = Find(field);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  WrongType(field, "a string");
  return std::nullopt;
}

const json* ConfigReader::Object(const char* field) {
  const json* value = Find(field);
  if (value == nullptr || value->is_object()) return value;
  WrongType(field, "an object");
  return nullptr;
}

const json* ConfigReader::Array(const char* field) {
  const json* value = Find(field);
  if (value == nullptr || value->is_array()) return value;
  WrongType(field, "an array");
  return nullptr;
}

std::optional<std::vector<double>> ConfigReader::Reals(const char* field) {
  const json* value = Find(field);
  if (value == nullptr) return std::nullopt;
  const auto is_real = [](const json& element) {
    return element.is_number() && std::isfinite(element.get<double>());
  };
  if (value->is_array() && std::all_of(value->begin(), value->end(), is_real))
    return value->get<std::vector<double>>();
  WrongType(field, "an array of finite numbers");
  return std::nullopt;
}

std::optional<int64_t> ConfigReader::RequiredInteger(const char* field) {
  if (!Has(field)) Missing(field);
  return Integer(field);
}

std::optional<double> ConfigReader::RequiredReal(const char* field) {
  if (!Has(field)) Missing(field);
  return Real(field);
}

std::optional<std::string> ConfigReader::RequiredText(const char* field) {
  if (!Has(field)) Missing(field);
  return Text(field);
}

std::optional<std::vector<double>> ConfigReader::RequiredReals(const char* field) {
  if (!Has(field)) Missing(field);
  return Reals(field);
}

}  // namespace tunesmith::planner
