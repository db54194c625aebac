#include "common/host_port.h"

#include "common/numbers.h"
#include "common/str_cat.h"

namespace tunesmith {
namespace {

constexpr int64_t kHighestPort = 65535;

absl::Status NoHostPort(std::string_view address, std::string_view why) {
  return absl::InvalidArgumentError(
      StrCat("\"", address, "\" is no HOST:PORT: ", why, "; give 127.0.0.1:7433, say"));
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return NoHostPort(address, "it has no port");
  std::string_view host = address.substr(0, colon);
  const std::string_view digits = address.substr(colon + 1);
  const bool has_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (has_brackets) host = host.substr(1, host.size() - 2);
  if (!has_brackets && host.find(':') != std::string_view::npos)
    return NoHostPort(address, "an address of IPv6 stands in brackets, as in [::1]:7433");
  int64_t port = 0;
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos ||
      !ParseInt64(digits, &port) || port > kHighestPort)
    return NoHostPort(address, "its port is no number up to 65535");
  return HostPort{std::string(host), static_cast<int32_t>(port)};
}

}  // namespace tunesmith
