#pragma once

#include <vector>

#include "planner/model/hardware.h"

namespace tunesmith::planner {

// The GPUs of the catalog, oldest generation first. The host is not among them.
std::vector<Hardware> GpuRows();

}  // namespace tunesmith::planner
