#include "tests/client/command.h"

#include <gtest/gtest.h>

#include "nlohmann/json.hpp"

namespace tunesmith::client {

server::ProcessResult Tunesmith(std::vector<std::string> arguments,
                                const std::map<std::string, std::string>& environment) {
  arguments.insert(arguments.begin(), server::BinaryPath("tunesmith"));
  return server::RunProcess(arguments, environment);
}

nlohmann::json Json(const server::ProcessResult& result) {
  auto json = nlohmann::json::parse(result.output, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << result.output << result.errors;
  return json;
}

}  // namespace tunesmith::client
