#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"

namespace tunesmith {

// `status` with another message: its code and what it is marked with stay.
inline absl::Status Reworded(const absl::Status& status, const std::string& message) {
  absl::Status result(status.code(), message);
  status.ForEachPayload(
      [&](absl::string_view mark, const absl::Cord& payload) { result.SetPayload(mark, payload); });
  return result;
}

}  // namespace tunesmith
