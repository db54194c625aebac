#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tunesmith {

struct HostPort {
  std::string host;  // a name or an address, without brackets
  int32_t port = 0;
};

// The parts of "127.0.0.1:7433", "name:7433" or "[::1]:7433". INVALID_ARGUMENT: it is no HOST:PORT, and why.
absl::StatusOr<HostPort> ParseHostPort(std::string_view address);

}  // namespace tunesmith
