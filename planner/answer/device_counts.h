#pragma once

#include <cstdint>
#include <vector>

#include "planner/model/hardware.h"

// Which counts of devices are asked about when the count itself is the question.
namespace tunesmith::planner {

// What servers with NVLink have: DGX and HGX boards carry eight.
inline constexpr int64_t kDevicesPerNode = 8;

// 1, 2, 4, ... and all devices of a node, then whole nodes, up to `most_count`, ascending. A device without a link, and a host's
// processors, which are one device with one memory, are asked about alone.
// REQUIRES: devices_per_node >= 1, most_count >= 1.
std::vector<int64_t> DeviceCounts(const Hardware& hardware, int64_t devices_per_node,
                                  int64_t most_count);

// So many devices in as few nodes as hold them. REQUIRES: a count of DeviceCounts.
DeviceGroup GroupOf(const Hardware& hardware, int64_t device_count, int64_t devices_per_node,
                    double network_bytes_per_second);

}  // namespace tunesmith::planner
