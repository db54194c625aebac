#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "tunesmith/v1/status.pb.h"

// Collects everything that is wrong with a message, so that one answer names all of it.
namespace tunesmith::convert {

// Keys of absl::Status payloads: the type URLs under which error details travel. See
// proto/tunesmith/v1/status.proto.
inline constexpr char kBadRequestUrl[] = "type.googleapis.com/google.rpc.BadRequest";
inline constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";

class Violations {
 public:
  // `field` is the path in the message ("question.workload.context"); `description` says what was
  // found and what is accepted.
  void Add(std::string_view field, std::string_view description);

  // Adds `status` when it is not OK: its own field violations under `field`, else its message.
  void AddStatus(std::string_view field, const absl::Status& status);

  // Adds a violation unless value >= least: "is -3, must be at least 1".
  void AtLeast(std::string_view field, int64_t value, int64_t least);

  // Adds a violation unless the value is finite and > 0, or, for NonNegative, >= 0.
  void Positive(std::string_view field, double value);
  void NonNegative(std::string_view field, double value);

  bool empty() const { return bad_request_.field_violations().empty(); }

  // OK when empty; else INVALID_ARGUMENT whose message lists every violation and whose payload is a
  // BadRequest.
  absl::Status ToStatus() const;

 private:
  v1::BadRequest bad_request_;
};

// `parent`.`field`, or `field` when parent is empty.
std::string FieldPath(std::string_view parent, std::string_view field);

}  // namespace tunesmith::convert
