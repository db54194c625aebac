#pragma once

#include "planner/model/hardware.h"

namespace tunesmith::planner {

// The row `cpu`: this host. Reads /proc/meminfo and the number of processors that this process may use, once per call.
Hardware HostHardware();

// The bytes of "MemAvailable" in the text of /proc/meminfo, or 0 if it is not there.
int64_t MemAvailableBytes(std::string_view meminfo);

}  // namespace tunesmith::planner
