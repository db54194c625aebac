#pragma once

#include "planner/model/hardware.h"

namespace tunesmith::planner {

// The row `cpu`: this host. Reads /proc/meminfo and the number of processors that this process may use, once per call.
Hardware HostHardware();

}  // namespace tunesmith::planner
