#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/model/hardware.h"

// A cluster as a file describes it: JSON, for people to write, so that its fields have units that people use.
//
//   {"nodes": [{"name": "a1 to a4", "count": 4, "device": "H100", "device_count": 8,
//               "network_gigabits_per_second": 3200,     what one node's network carries, one direction
//               "link_gigabytes_per_second": 450,        device to device, one direction; left out: the catalog's
//               "host_memory_gib": 2048}]}               of a node; left out: not limited
//
// `count` (nodes that are like this) is 1 where it is left out.
namespace tunesmith::planner {

// Nodes that are alike, with what the weakest of them has.
struct NodeGroup {
  Hardware hardware;  // with the file's link rate
  int64_t node_count = 0;
  int64_t devices_per_node = 1;
  double network_bytes_per_second = 0;  // of a node, one direction; 0: not told
  int64_t host_memory_bytes = 0;        // of a node; 0: not limited
};

// The nodes of the file by kind, in its order: a job runs on devices of one kind with one link, as many in every node. INVALID_ARGUMENT names
// `what` and the node: a field that is missing, unknown or out of range, or no network where there are several nodes. NOT_FOUND names a
// device that no catalog has.
absl::StatusOr<std::vector<NodeGroup>> NodeGroupsFromJson(std::string_view json,
                                                          std::string_view what);

// All devices of the group.
DeviceGroup DevicesOf(const NodeGroup& group);

}  // namespace tunesmith::planner
