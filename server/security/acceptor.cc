#include "server/security/acceptor.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/time/clock.h"
#include "common/host_port.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "server/security/listeners.h"
#include "server/unix_socket.h"

namespace tunesmith::server {
namespace {

constexpr int kBacklog = SOMAXCONN;
constexpr mode_t kSocketMask = 0117;  // for its owner and its group
// Until a file may be free again.
constexpr absl::Duration kPauseWithoutFiles = absl::Milliseconds(50);

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

absl::Status CannotListen(const std::string& address, const std::string& why) {
  return absl::UnavailableError(StrCat("cannot listen on ", address, " (", why,
                                       "); another process may have the port, or the address is "
                                       "not this host's: choose another --listen"));
}

void SetPort(sockaddr* address, int port) {
  const auto value = htons(static_cast<uint16_t>(port));
  if (address->sa_family == AF_INET) reinterpret_cast<sockaddr_in*>(address)->sin_port = value;
  if (address->sa_family == AF_INET6) reinterpret_cast<sockaddr_in6*>(address)->sin6_port = value;
}

int PortOf(int listener) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  if (address.ss_family == AF_INET)
    return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
  return ntohs(reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
}

// A listener, or -1 with errno.
int Listen(int family, const sockaddr* address, socklen_t size) {
  const int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int yes = 1;
  const int no = 0;
  if (family != AF_UNIX) setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (family == AF_INET6) setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
  if (bind(listener, address, size) == 0 && listen(listener, kBacklog) == 0) return listener;
  const int error = errno;
  if (listener >= 0) close(listener);
  errno = error;
  return -1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Bind(const std::string& address) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor);
  acceptor->stop_event_ = eventfd(0, EFD_CLOEXEC);
  if (const std::string path = SocketPath(address); !path.empty()) {
    TUNESMITH_RETURN_IF_ERROR(acceptor->BindSocket(path));
    return acceptor;
  }
  const auto parts = ParseHostPort(address);
  if (!parts.ok()) return CannotListen(address, std::string(parts.status().message()));
  TUNESMITH_RETURN_IF_ERROR(acceptor->BindPort(parts->host, StrCat(parts->port)));
  return acceptor;
}

absl::Status Acceptor::BindPort(const std::string& host, const std::string& port) {
  addrinfo* list = nullptr;
  const addrinfo hints = {
      .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
  const std::string address = StrCat(host, ":", port);
  if (error != 0) return CannotListen(address, gai_strerror(error));
  const std::unique_ptr<addrinfo, FreeAddresses> owner(list);
  int problem = 0;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    if (port_ > 0) SetPort(at->ai_addr, port_);
    const int listener = Listen(at->ai_family, at->ai_addr, at->ai_addrlen);
    if (listener < 0) problem = errno;
    if (listener < 0) continue;
    listeners_.push_back(listener);
    port_ = PortOf(listener);
  }
  // A host without IPv6 has names with an address of it.
  if (listeners_.empty() || problem == EADDRINUSE)
    return CannotListen(address, std::strerror(problem));
  return absl::OkStatus();
}

absl::Status Acceptor::BindSocket(const std::string& path) {
  TUNESMITH_RETURN_IF_ERROR(CheckSocketIsFree(path));
  TUNESMITH_ASSIGN_OR_RETURN(const sockaddr_un address, UnixAddress(path));
  struct stat info = {};
  if (lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode))
    unlink(path.c_str());  // of a server that is gone
  const mode_t mask = umask(kSocketMask);
  const int listener =
      Listen(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  umask(mask);
  if (listener < 0) return CannotListen(StrCat("unix:", path), std::strerror(error));
  listeners_.push_back(listener);
  return absl::OkStatus();
}

void Acceptor::Start(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> server,
                     Connections& connections) {
  server_ = std::move(server);
  thread_ = std::thread([this, &connections] { Loop(connections); });
}

void Acceptor::Loop(Connections& connections) {
  std::vector<pollfd> events;
  for (const int listener : listeners_)
    events.push_back({.fd = listener, .events = POLLIN, .revents = 0});
  events.push_back({.fd = stop_event_, .events = POLLIN, .revents = 0});
  while (true) {
    if (poll(events.data(), events.size(), -1) < 0) continue;
    if (events.back().revents != 0) return;
    for (size_t i = 0; i < listeners_.size(); ++i) {
      if (events[i].revents != 0) AcceptOne(listeners_[i], connections);
    }
  }
}

void Acceptor::AcceptOne(int listener, Connections& connections) {
  const int connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (connection < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
    absl::SleepFor(kPauseWithoutFiles);
  if (connection < 0) return;
  if (!connections.Admit(connection)) {
    close(connection);
    return;
  }
  const int yes = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes,
             sizeof(yes));  // a Unix socket has none to set
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  parameters.listener_fd = listener;
  parameters.fd = connection;  // gRPC's from now on
  server_->HandleNewConnection(&parameters);
}

void Acceptor::Stop() {
  if (thread_.joinable()) {
    eventfd_write(stop_event_, 1);
    thread_.join();
  }
  for (const int listener : listeners_) close(listener);
  listeners_.clear();
  if (stop_event_ >= 0) close(std::exchange(stop_event_, -1));
}

}  // namespace tunesmith::server
