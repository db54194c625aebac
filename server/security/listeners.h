#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/security/tls.h"

// Where a server listens, and what guards each place.
namespace tunesmith::server {

struct ListenOptions {
  std::vector<std::string> addresses;  // HOST:PORT, or unix:PATH
  TlsOptions tls;
  bool has_access_file = false;
  bool insecure = false;  // beyond loopback too, anybody may do everything
};

enum class Guard {
  kFileMode,  // a Unix socket: whoever its file lets in
  kLoopback,  // plain, from this host
  kTls,
  kNone,  // plain, from anywhere: --insecure
};

struct Listener {
  std::string address;
  Guard guard = Guard::kTls;
};

// INVALID_ARGUMENT for an address beyond loopback that nothing guards, with the cures; errors of CheckTls.
absl::StatusOr<std::vector<Listener>> PlanListeners(const ListenOptions& options);

// Whether somebody from another host can get to a listener.
bool IsReachedFromElsewhere(const std::vector<Listener>& listeners);

// UNAVAILABLE when a server answers on the socket already; gRPC would take its place.
absl::Status CheckSocketIsFree(const std::string& path);

}  // namespace tunesmith::server
