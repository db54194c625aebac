#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/server_builder.h"
#include "server/security/connections.h"

namespace tunesmith::server {

// Listens on one address and hands connections to gRPC, as many as there may be; others are closed at once. gRPC 1.51's own listener stops for
// ever when the process has no file left to accept a connection with.
class Acceptor {
 public:
  // HOST:PORT (port 0: a free one; all addresses of the host) or unix:PATH (for its owner and its group). UNAVAILABLE when it cannot be had.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Bind(const std::string& address);
  ~Acceptor() { Stop(); }

  int port() const { return port_; }  // 0 of a socket

  // Starts the thread, once. `connections` outlives it.
  void Start(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> server,
             Connections& connections);

  // Accepts nothing any more, and closes the listeners.
  void Stop();

 private:
  Acceptor() = default;
  absl::Status BindPort(const std::string& host, const std::string& port);
  absl::Status BindSocket(const std::string& path);
  void Loop(Connections& connections);
  void AcceptOne(int listener, Connections& connections);

  std::vector<int> listeners_;
  int port_ = 0;
  int stop_event_ = -1;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> server_;
  std::thread thread_;
};

}  // namespace tunesmith::server
