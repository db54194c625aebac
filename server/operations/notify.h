#pragma once

#include <string_view>

#include "absl/time/time.h"

namespace tunesmith::server {

// Tells systemd "READY=1", "STOPPING=1", "WATCHDOG=1", by the datagram that sd_notify(3) describes. Does nothing where systemd does not ask for it.
void NotifySystemd(std::string_view state);

// How often systemd wants to hear "WATCHDOG=1": half of the time after which it takes the process for hung; infinite where it does not ask.
absl::Duration WatchdogInterval();

}  // namespace tunesmith::server
