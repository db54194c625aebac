#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "server/call_record.h"
#include "server/security/acceptor.h"
#include "server/security/audit_log.h"
#include "server/security/call_limits.h"
#include "server/security/door.h"
#include "server/security/listeners.h"
#include "server/security/tls_watch.h"

// What stands between the network and the services: listeners, door, limits, and who is told of calls.
namespace tunesmith::server {

struct FrontOptions {
  std::vector<std::string> listen = {
      "127.0.0.1:7433"};  // HOST:PORT (port 0: a free one), unix:PATH
  TlsOptions tls;
  std::string access_path;  // who may do what; empty: whoever gets to the server may do everything
  bool insecure = false;    // listen beyond loopback without them
  CallLimits limits;
  int64_t max_connection_count = 0;  // 0: as Connections has it
  std::string audit_path;            // empty: no audit log
};

class Front {
 public:
  // `calls` is handed every call, `problems` lines for the server's log. Errors say what is wrong with the options, and the cure.
  static absl::StatusOr<std::unique_ptr<Front>> Open(
      const FrontOptions& options, CallSink calls,
      std::function<void(const std::string& line)> problems);

  bool is_reached_from_elsewhere() const { return IsReachedFromElsewhere(listeners_); }

  // Listens and serves what was registered with the builder. UNAVAILABLE when an address cannot be had. The front outlives the server.
  absl::StatusOr<std::unique_ptr<grpc::Server>> Serve(grpc::ServerBuilder& builder);

  // The certificate that is served, in a file of this process; empty without TLS.
  std::string certificate_path() const { return tls_ ? tls_->copies().certificate_path : ""; }

  // No new connection from now on. Before the server is shut down.
  void Close();

  // The port of the first listener that has one; 0: none has. REQUIRES: Serve was OK.
  int port() const;

  // "port 7433, unix:/run/tunesmith/socket". REQUIRES: Serve was OK.
  std::string Where() const;

 private:
  Front(const FrontOptions& options, std::vector<Listener> listeners,
        std::unique_ptr<AccessList> access, CallSink calls,
        std::function<void(const std::string& line)> problems);
  void Record(const CallRecord& record);
  void RecordRefusal(const Refusal& refusal);
  std::shared_ptr<grpc::ServerCredentials> CredentialsFor(const Listener& listener);

  const FrontOptions options_;
  const std::vector<Listener> listeners_;
  Connections connections_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;  // of the listeners
  const CallSink calls_;
  std::unique_ptr<TlsWatch> tls_;  // null without TLS
  std::unique_ptr<AuditLog> audit_;
  Door door_;
};

}  // namespace tunesmith::server
