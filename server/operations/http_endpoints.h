#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tunesmith::server {

// GET /metrics, /healthz (the process lives) and /readyz (it serves, and its database answers), over plain HTTP on an address of its own. They
// tell no secrets, and ask nobody who they are: leave it on loopback, or where only those who watch the server get to. A bounded number of connections is
// accepted at once.
class HttpEndpoints {
 public:
  struct Answers {
    std::function<std::string()> metrics;
    std::function<absl::Status()> ready;
  };

  // `address` is HOST:PORT; port 0 takes a free one. UNAVAILABLE when it cannot be had. `answers` are asked from other threads until the object
  // is gone.
  static absl::StatusOr<std::unique_ptr<HttpEndpoints>> Start(const std::string& address,
                                                              Answers answers);
  ~HttpEndpoints();

  int port() const;

 private:
  struct Server;
  explicit HttpEndpoints(std::unique_ptr<Server> server);

  std::unique_ptr<Server> server_;
};

}  // namespace tunesmith::server
