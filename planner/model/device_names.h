#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "planner/model/hardware.h"

namespace tunesmith::planner {

// The row of the catalog for a GPU as its driver names it: "NVIDIA H100 80GB HBM3" is the H100-SXM. NOT_FOUND, with the name, where the catalog has none.
absl::StatusOr<Hardware> FindHardwareOfDevice(std::string_view driver_name);

}  // namespace tunesmith::planner
