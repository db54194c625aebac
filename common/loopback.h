#pragma once

#include <string>

namespace tunesmith {

// Whether HOST:PORT can be reached from this host alone, whatever names mean: 127.0.0.1 and its like by their digits, [::1] and localhost.
bool IsLoopback(const std::string& address);

}  // namespace tunesmith
