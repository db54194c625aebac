#include "server/unix_socket.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

constexpr std::string_view kScheme = "unix:";
constexpr size_t kMostReadBytes = 16 << 20;

absl::Status Problem(int error, const std::string& path) {
  const std::string text = StrCat("unix:", path, ": ", std::strerror(error));
  return error == EACCES || error == EPERM ? absl::PermissionDeniedError(text)
                                           : absl::UnavailableError(text);
}

}  // namespace

std::string SocketPath(const std::string& address) {
  return address.starts_with(kScheme) ? address.substr(kScheme.size()) : "";
}

absl::StatusOr<sockaddr_un> UnixAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    return absl::InvalidArgumentError(StrCat("the socket's path ", path, " has more than ",
                                             sizeof(address.sun_path) - 1,
                                             " characters; choose a shorter one"));
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::StatusOr<Descriptor> ConnectUnix(const std::string& path, absl::Duration patience) {
  TUNESMITH_ASSIGN_OR_RETURN(const sockaddr_un address, UnixAddress(path));
  Descriptor connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connection.get() < 0) return Problem(errno, path);
  SetPatience(connection.get(), patience);
  if (connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return Problem(errno, path);
  return connection;
}

absl::Status SendAll(int connection, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(connection, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0)
      return absl::UnavailableError(StrCat("the other side does not read: ", std::strerror(errno)));
    text.remove_prefix(static_cast<size_t>(sent));
  }
  shutdown(connection, SHUT_WR);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReceiveAll(int connection, size_t limit_bytes) {
  std::string text;
  size_t read_bytes = 0;
  char buffer[4096];
  while (true) {
    const ssize_t count = recv(connection, buffer, sizeof(buffer), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      return absl::UnavailableError(
          StrCat("the other side does not write: ", std::strerror(errno)));
    if (count == 0 && text.size() <= limit_bytes) return text;
    // What is read on is not kept: a connection that is closed with something unread takes the answer along.
    if (count == 0 || read_bytes > kMostReadBytes)
      return absl::InvalidArgumentError(
          StrCat("the other side writes more than ", limit_bytes, " bytes"));
    read_bytes += static_cast<size_t>(count);
    if (text.size() <= limit_bytes) text.append(buffer, static_cast<size_t>(count));
  }
}

void SetPatience(int connection, absl::Duration patience) {
  const timeval time = absl::ToTimeval(patience);
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
  setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
}

}  // namespace tunesmith::server
