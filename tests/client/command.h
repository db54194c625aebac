#pragma once

#include <map>
#include <string>
#include <vector>

#include "nlohmann/json_fwd.hpp"
#include "tests/server/server_process.h"

// The command as users have it.
namespace tunesmith::client {

// Runs `tunesmith` to its end. `environment` is added to this process's own.
server::ProcessResult Tunesmith(std::vector<std::string> arguments,
                                const std::map<std::string, std::string>& environment = {});

// What it has printed. Fails the test where that is not JSON.
nlohmann::json Json(const server::ProcessResult& result);

}  // namespace tunesmith::client
