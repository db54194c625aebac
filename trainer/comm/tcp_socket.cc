#include "trainer/comm/tcp_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kBacklog = 4096;
constexpr milliseconds kMostForOneAddress{3000};

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

void Set(int socket, int level, int option, int value) {
  setsockopt(socket, level, option, &value, sizeof value);
}

absl::StatusOr<Addresses> Resolve(const HostPort& name) {
  addrinfo* list = nullptr;
  const addrinfo hints = {
      .ai_flags = AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  const int error = getaddrinfo(name.host.c_str(), StrCat(name.port).c_str(), &hints, &list);
  if (error == 0) return Addresses(list);
  const char* why = error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error);
  return absl::NotFoundError(StrCat("the name ", name.host, " is not known: ", why));
}

Descriptor NewSocket(int family) {
  Descriptor socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  Set(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  return socket;
}

HostPort Numbers(const sockaddr* address, socklen_t size) {
  std::array<char, NI_MAXHOST> host = {};
  std::array<char, NI_MAXSERV> port = {};
  if (getnameinfo(address, size, host.data(), host.size(), port.data(), port.size(),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {};
  // A socket of both families says ::ffff:10.0.0.3 of an IPv4 host.
  std::string_view text = host.data();
  if (text.starts_with("::ffff:") && text.find('.') != std::string_view::npos)
    text.remove_prefix(std::string_view("::ffff:").size());
  return {std::string(text), std::atoi(port.data())};
}

int TryToListen(const Descriptor& socket, const sockaddr* address, socklen_t size) {
  Set(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (address->sa_family == AF_INET6) Set(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  const bool listens =
      bind(socket.get(), address, size) == 0 && listen(socket.get(), kBacklog) == 0;
  return listens ? 0 : errno;
}

// Of both families, where the host has both.
absl::StatusOr<Descriptor> ListenEverywhere(int32_t port) {
  sockaddr_in6 six = {};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(static_cast<uint16_t>(port));
  sockaddr_in four = {};
  four.sin_family = AF_INET;
  four.sin_port = six.sin6_port;
  Descriptor socket = NewSocket(AF_INET6);
  int error =
      socket.get() < 0 ? errno : TryToListen(socket, reinterpret_cast<sockaddr*>(&six), sizeof six);
  if (error != 0 && error != EADDRINUSE) {
    socket = NewSocket(AF_INET);
    error = TryToListen(socket, reinterpret_cast<sockaddr*>(&four), sizeof four);
  }
  if (error == 0) return socket;
  return absl::UnavailableError(StrCat("port ", port, ": ", std::strerror(error)));
}

// Poll's answer within the deadline; 0: none.
int WaitFor(const Descriptor& socket, short events, Deadline deadline) {
  pollfd entry = {.fd = socket.get(), .events = events, .revents = 0};
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now()).count();
  return poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000)));
}

int TryToConnect(const Descriptor& socket, const addrinfo& address, Deadline deadline) {
  if (connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (WaitFor(socket, POLLOUT, deadline) <= 0) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

// A port above those that are given out: connecting to a free one of those may meet itself (simultaneous open of TCP).
bool MetItself(const Descriptor& socket) {
  const HostPort local = LocalAddress(socket), peer = PeerAddress(socket);
  return local.host == peer.host && local.port == peer.port;
}

// What a transfer of `moved` bytes means: 0 goes on.
absl::Status CheckMoved(ssize_t moved) {
  if (moved > 0) return absl::OkStatus();
  if (moved == 0) return absl::UnavailableError("the connection was closed");
  if (errno == EAGAIN || errno == EINTR) return absl::OkStatus();
  return absl::UnavailableError(std::strerror(errno));
}

template <typename Move>
absl::Status MoveAll(const Descriptor& socket, short events, int64_t bytes, Deadline deadline,
                     Move move) {
  for (int64_t done = 0; done < bytes;) {
    const ssize_t moved = move(done, static_cast<size_t>(bytes - done));
    TUNESMITH_RETURN_IF_ERROR(CheckMoved(moved));
    if (moved > 0) {
      done += moved;
    } else if (WaitFor(socket, events, deadline) == 0) {
      return absl::DeadlineExceededError("no answer in time");
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string TextOf(const HostPort& address) {
  const bool is_six = address.host.find(':') != std::string::npos;
  return is_six ? StrCat("[", address.host, "]:", address.port)
                : StrCat(address.host, ":", address.port);
}

bool IsLoopbackHost(const std::string& host) {
  in_addr four = {};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  return host == "::1";
}

absl::StatusOr<Descriptor> Listen(const HostPort& at) {
  TUNESMITH_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(at));
  const bool means_loopback = IsLoopbackHost(at.host) || at.host == "localhost";
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    const HostPort numbers = Numbers(a->ai_addr, a->ai_addrlen);
    if (IsLoopbackHost(numbers.host) && !means_loopback) continue;
    Descriptor socket = NewSocket(a->ai_family);
    const int error = TryToListen(socket, a->ai_addr, a->ai_addrlen);
    if (error == 0) return socket;
    if (error == EADDRINUSE || error == EACCES)
      return absl::UnavailableError(StrCat(TextOf(at), ": ", std::strerror(error)));
  }
  return ListenEverywhere(at.port);
}

absl::StatusOr<Descriptor> Connect(const HostPort& to, Deadline deadline) {
  TUNESMITH_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(to));
  int error = 0;
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    Descriptor socket = NewSocket(a->ai_family);
    error = TryToConnect(socket, *a, std::min(deadline, Clock::now() + kMostForOneAddress));
    if (error == 0 && !MetItself(socket)) return socket;
    if (error == 0) error = ECONNREFUSED;
  }
  return absl::UnavailableError(StrCat(TextOf(to), ": ", std::strerror(error)));
}

Descriptor Accept(const Descriptor& listener) {
  Descriptor socket(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.get() >= 0) Set(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  return socket;
}

HostPort LocalAddress(const Descriptor& socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  return Numbers(reinterpret_cast<sockaddr*>(&address), size);
}

HostPort PeerAddress(const Descriptor& socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  if (getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  return Numbers(reinterpret_cast<sockaddr*>(&address), size);
}

absl::Status SendAll(const Descriptor& socket, const void* data, int64_t bytes, Deadline deadline) {
  return MoveAll(socket, POLLOUT, bytes, deadline, [&](int64_t done, size_t left) {
    return send(socket.get(), static_cast<const char*>(data) + done, left, MSG_NOSIGNAL);
  });
}

absl::Status ReceiveAll(const Descriptor& socket, void* data, int64_t bytes, Deadline deadline) {
  return MoveAll(socket, POLLIN, bytes, deadline, [&](int64_t done, size_t left) {
    return recv(socket.get(), static_cast<char*>(data) + done, left, 0);
  });
}

void WatchHost(const Descriptor& socket) {
  Set(socket.get(), SOL_SOCKET, SO_KEEPALIVE, 1);
  Set(socket.get(), IPPROTO_TCP, TCP_KEEPIDLE, 2);
  Set(socket.get(), IPPROTO_TCP, TCP_KEEPINTVL, 1);
  Set(socket.get(), IPPROTO_TCP, TCP_KEEPCNT, kSecondsOfSilence - 2);
  Set(socket.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, kSecondsOfSilence * 1000);
}

}  // namespace tunesmith::trainer
