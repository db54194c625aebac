#include "common/loopback.h"

namespace tunesmith {

bool IsLoopback(const std::string& address) {
  const std::string host = address.substr(0, address.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  // Digits alone: 127.0.0.1.example.org is a name of anybody's.
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
}

}  // namespace tunesmith
