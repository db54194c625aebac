#pragma once

#include <string>

namespace tunesmith::server {

// The path of a file that make_certificates.sh makes, "server.crt". All of them are made when one is first asked for and last as long as the process.
std::string Certificate(const std::string& name);

}  // namespace tunesmith::server
