#pragma once

#include <string>
#include <vector>

namespace tunesmith::server {

// The full names of the services that tunesmithd answers, for health and for GetCapabilities.
std::vector<std::string> ServiceNames();

}  // namespace tunesmith::server
