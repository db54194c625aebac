#include "common/loopback.h"

#include "common/host_port.h"

namespace tunesmith {

bool IsLoopback(const std::string& address) {
  const auto parts = ParseHostPort(address);
  const std::string& host = parts.ok() ? parts->host : address;
  if (host == "localhost" || host == "::1") return true;
  // Digits alone: 127.0.0.1.example.org is a name of anybody's.
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
}

}  // namespace tunesmith
