#include "proto/convert/violations.h"

#include <cmath>

#include "absl/strings/cord.h"
#include "absl/strings/str_join.h"
#include "common/str_cat.h"

namespace tunesmith::convert {

void Violations::Add(std::string_view field, std::string_view description) {
  v1::FieldViolation* violation = bad_request_.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(std::string(description));
}

void Violations::AddStatus(std::string_view field, const absl::Status& status) {
  if (status.ok()) return;
  const auto payload = status.GetPayload(kBadRequestUrl);
  v1::BadRequest inner;
  if (!payload || !inner.ParseFromString(std::string(*payload)))
    return Add(field, ToStd(status.message()));
  for (const v1::FieldViolation& violation : inner.field_violations())
    Add(FieldPath(field, violation.field()), violation.description());
}

void Violations::AtLeast(std::string_view field, int64_t value, int64_t least) {
  if (value < least) Add(field, StrCat("is ", value, ", must be at least ", least));
}

void Violations::Positive(std::string_view field, double value) {
  if (!std::isfinite(value) || value <= 0) Add(field, StrCat("is ", value, ", must be above 0"));
}

void Violations::NonNegative(std::string_view field, double value) {
  if (!std::isfinite(value) || value < 0) {
    Add(field, StrCat("is ", value, ", must be 0 or above"));
  }
}

absl::Status Violations::ToStatus() const {
  if (empty()) return absl::OkStatus();
  const auto format = [](std::string* out, const v1::FieldViolation& violation) {
    absl::StrAppend(out, violation.field(), ": ", violation.description());
  };
  absl::Status status =
      absl::InvalidArgumentError(absl::StrJoin(bad_request_.field_violations(), "; ", format));
  status.SetPayload(kBadRequestUrl, absl::Cord(bad_request_.SerializeAsString()));
  return status;
}

std::string FieldPath(std::string_view parent, std::string_view field) {
  return parent.empty() ? std::string(field) : StrCat(parent, ".", field);
}

}  // namespace tunesmith::convert
