#pragma once

#include <sys/un.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/descriptor.h"

// Unix sockets: by their path, and messages that are a whole half of a connection.
namespace tunesmith::server {

// The path of "unix:PATH"; empty for other addresses.
std::string SocketPath(const std::string& address);

// INVALID_ARGUMENT: the path is longer than such an address can be.
absl::StatusOr<sockaddr_un> UnixAddress(const std::string& path);

// A connection to whoever listens at `path`, each of whose calls waits for `patience` at most. UNAVAILABLE: nobody answers; PERMISSION_DENIED: the file may not be
// written.
absl::StatusOr<Descriptor> ConnectUnix(const std::string& path, absl::Duration patience);

// Writes all of `text` and says that no more comes. UNAVAILABLE: the other side is gone or does not read.
absl::Status SendAll(int connection, std::string_view text);

// What the other side writes until it says that no more comes. UNAVAILABLE: it stays silent, or has gone; INVALID_ARGUMENT: more than `limit_bytes`.
absl::StatusOr<std::string> ReceiveAll(int connection, size_t limit_bytes);

// Bounds each later call on the connection.
void SetPatience(int connection, absl::Duration patience);

}  // namespace tunesmith::server
