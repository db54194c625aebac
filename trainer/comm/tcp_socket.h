#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/descriptor.h"
#include "common/host_port.h"

// Sockets of TCP as ranks use them: they never block, what is sent leaves at once, and no child inherits them.
namespace tunesmith::trainer {

using Deadline = std::chrono::steady_clock::time_point;

// "10.0.0.3:29500", "[::1]:29500".
std::string TextOf(const HostPort& address);

// Listens at the address that `at` names: where this host has it, and it is no loopback address that a name stands for (many hosts give their own name one, for themselves alone),
// at that address only; else at all. Port 0: any. NOT_FOUND: the name is not known (yet). UNAVAILABLE: the port is taken.
absl::StatusOr<Descriptor> Listen(const HostPort& at);

// NOT_FOUND: the name is not known (yet). UNAVAILABLE: nobody answered, and why; after some seconds at most (the resolver has its own patience).
absl::StatusOr<Descriptor> Connect(const HostPort& to, Deadline deadline);

// The next connection that waits; none: -1.
Descriptor Accept(const Descriptor& listener);

// Numbers alone. Empty host: there is no such end any more.
HostPort LocalAddress(const Descriptor& socket);
HostPort PeerAddress(const Descriptor& socket);

// Whether an address of numbers is one of this host alone.
bool IsLoopbackHost(const std::string& host);

// Exactly so many bytes. UNAVAILABLE: the connection ended or broke; DEADLINE_EXCEEDED.
absl::Status SendAll(const Descriptor& socket, const void* data, int64_t bytes, Deadline deadline);
absl::Status ReceiveAll(const Descriptor& socket, void* data, int64_t bytes, Deadline deadline);

// Has the kernel ask the other host whether it lives when nothing is said; the socket ends with ETIMEDOUT kSecondsOfSilence after the host's last answer. For
// connections whose receiver always takes what is sent: one that waits with a full buffer would count as silent.
inline constexpr int kSecondsOfSilence = 7;
void WatchHost(const Descriptor& socket);

}  // namespace tunesmith::trainer
