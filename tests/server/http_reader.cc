#include "tests/server/http_reader.h"

#include <httplib.h>

#include <cstdlib>
#include <limits>

#include "absl/time/clock.h"

namespace tunesmith::server {
namespace {

int PortAfter(const std::string& text, const std::string& mark) {
  const size_t at = text.find(mark);
  return at == std::string::npos ? 0 : std::atoi(text.c_str() + at + mark.size());
}

}  // namespace

int HttpPortOf(const ServerProcess& server) {
  int port = 0;
  for (int tries = 0; tries < 250 && port == 0; ++tries) {
    port = PortAfter(server.Log(), "by HTTP on port ");
    if (port == 0) absl::SleepFor(absl::Milliseconds(20));
  }
  return port;
}

std::string HttpGet(int port, const std::string& path, int* status) {
  httplib::Client client("127.0.0.1", port);
  const auto result = client.Get(path.c_str());
  if (status != nullptr) *status = result ? result->status : 0;
  return result ? result->body : "";
}

double MetricOf(const std::string& text, const std::string& name) {
  const std::string mark = "\n" + name + " ";
  const size_t at = text.find(mark);
  return at == std::string::npos ? std::numeric_limits<double>::quiet_NaN()
                                 : std::strtod(text.c_str() + at + mark.size(), nullptr);
}

}  // namespace tunesmith::server
