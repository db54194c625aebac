#include "server/operations/notify.h"

#include <sys/socket.h>

#include <cstddef>
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "server/unix_socket.h"

namespace tunesmith::server {

void NotifySystemd(std::string_view state) {
  const char* text = std::getenv("NOTIFY_SOCKET");
  const std::string path = text == nullptr ? "" : text;
  auto address = UnixAddress(path);
  if (path.empty() || !address.ok()) return;
  if (path.front() == '@') address->sun_path[0] = '\0';  // an abstract socket
  const Descriptor notify(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  (void)sendto(notify.get(), state.data(), state.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&*address),
               static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size()));
}

absl::Duration WatchdogInterval() {
  const char* text = std::getenv("WATCHDOG_USEC");
  int64_t microseconds = 0;
  if (text == nullptr || !absl::SimpleAtoi(text, &microseconds) || microseconds <= 0)
    return absl::InfiniteDuration();
  return absl::Microseconds(microseconds) / 2;
}

}  // namespace tunesmith::server
