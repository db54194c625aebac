#include "server/security/listeners.h"

#include <algorithm>

#include "common/loopback.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "server/unix_socket.h"

namespace tunesmith::server {
namespace {

constexpr absl::Duration kSocketPatience = absl::Seconds(1);

absl::Status NothingGuards(const std::string& address) {
  return absl::InvalidArgumentError(
      StrCat("refusing to listen on ", address,
             ", which other hosts can reach, without TLS and an access file: anybody could start "
             "jobs as this user. ",
             "Give --tls-cert, --tls-key and --access-file; or listen on 127.0.0.1 or unix:PATH; "
             "or, where something else keeps others out, --insecure"));
}

absl::Status NothingTellsRoles(const std::string& address) {
  return absl::InvalidArgumentError(StrCat(
      "refusing to listen on ", address,
      ", which other hosts can reach, without --access-file: it says what each client may "
      "do, by the names of its certificate. Give one, with a line as \"certificate "
      "ci.example submitter\" for each; --insecure would let everybody who has a certificate "
      "do everything, with any file"));
}

absl::Status TokensInTheClear(const std::string& address) {
  return absl::InvalidArgumentError(
      StrCat("refusing to take tokens on ", address,
             " without TLS: they would cross the network in the clear. ",
             "Give --tls-cert and --tls-key, or leave --access-file out"));
}

absl::StatusOr<Guard> GuardOf(const std::string& address, const ListenOptions& options) {
  const bool has_tls = !options.tls.certificate_path.empty();
  if (!SocketPath(address).empty()) return Guard::kFileMode;
  if (IsLoopback(address)) return has_tls ? Guard::kTls : Guard::kLoopback;
  if (has_tls && (options.has_access_file || options.insecure)) return Guard::kTls;
  const bool asks_for_certificates = !options.tls.client_authority_path.empty();
  if (!options.insecure)
    return asks_for_certificates ? NothingTellsRoles(address) : NothingGuards(address);
  if (options.has_access_file) return TokensInTheClear(address);
  return Guard::kNone;
}

}  // namespace

absl::StatusOr<std::vector<Listener>> PlanListeners(const ListenOptions& options) {
  TUNESMITH_RETURN_IF_ERROR(CheckTls(options.tls));
  std::vector<Listener> listeners;
  for (const std::string& address : options.addresses) {
    TUNESMITH_ASSIGN_OR_RETURN(const Guard guard, GuardOf(address, options));
    listeners.push_back({.address = address, .guard = guard});
  }
  if (listeners.empty()) return absl::InvalidArgumentError("--listen names no address");
  return listeners;
}

bool IsReachedFromElsewhere(const std::vector<Listener>& listeners) {
  return std::any_of(listeners.begin(), listeners.end(), [](const Listener& listener) {
    return SocketPath(listener.address).empty() && !IsLoopback(listener.address);
  });
}

absl::Status CheckSocketIsFree(const std::string& path) {
  const auto connection = ConnectUnix(path, kSocketPatience);
  if (absl::IsInvalidArgument(connection.status())) return connection.status();
  if (!connection.ok()) return absl::OkStatus();
  return absl::UnavailableError(
      StrCat("another server answers on unix:", path, "; stop it, or choose another path"));
}

}  // namespace tunesmith::server
