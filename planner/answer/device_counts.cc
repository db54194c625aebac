#include "planner/answer/device_counts.h"

#include "common/units.h"

namespace tunesmith::planner {

std::vector<int64_t> DeviceCounts(const Hardware& hardware, int64_t devices_per_node,
                                  int64_t most_count) {
  if (hardware.link_bytes_per_second <= 0 || hardware.compute_capability == 0) return {1};
  std::vector<int64_t> counts;
  for (int64_t count = 1; count < devices_per_node && count <= most_count; count *= 2)
    counts.push_back(count);
  for (int64_t nodes = 1; nodes <= most_count / devices_per_node; ++nodes)
    counts.push_back(nodes * devices_per_node);
  return counts;
}

DeviceGroup GroupOf(const Hardware& hardware, int64_t device_count, int64_t devices_per_node,
                    double network_bytes_per_second) {
  return {.hardware = hardware,
          .device_count = device_count,
          .node_count = CeilDivide(device_count, devices_per_node),
          .network_bytes_per_second = network_bytes_per_second};
}

}  // namespace tunesmith::planner
