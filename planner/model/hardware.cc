#include "planner/model/hardware.h"

#include <algorithm>

#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/suggest.h"
#include "common/text.h"
#include "planner/model/hardware_host.h"
#include "planner/model/hardware_rows.h"

namespace tunesmith::planner {
namespace {

constexpr int64_t kLargestDeviceCount = 1 << 16;

std::vector<Hardware> AllRows() {
  std::vector<Hardware> rows = GpuRows();
  rows.push_back(HostHardware());
  return rows;
}

// Other names that people use.
std::string_view CanonicalName(std::string_view name) {
  if (EqualsIgnoreCase(name, "H100")) return "H100-SXM";
  return name;
}

std::vector<std::string> KnownNames() {
  std::vector<std::string> names;
  for (const Hardware& row : HardwareCatalog()) names.push_back(row.name);
  return names;
}

// Length of the leading "8" of "8xA100-80GB" (a sign included, so that it can be refused by name);
// 0 if there is none.
size_t CountPrefixLength(std::string_view text) {
  const size_t end = text.find_first_not_of("+-0123456789");
  const bool is_count =
      end != std::string_view::npos && end > 0 && (text[end] == 'x' || text[end] == 'X');
  return is_count ? end : 0;
}

}  // namespace

const std::vector<Hardware>& HardwareCatalog() {
  static const auto* const rows = new std::vector<Hardware>(AllRows());
  return *rows;
}

absl::StatusOr<Hardware> FindHardware(std::string_view name) {
  for (const Hardware& row : HardwareCatalog()) {
    if (EqualsIgnoreCase(row.name, CanonicalName(name))) return row;
  }
  return absl::NotFoundError(
      StrCat("no device '", name, "' in the catalog; ", DidYouMean(name, KnownNames())));
}

double NetworkBytesPerSecond(const DeviceGroup& devices) {
  if (devices.node_count <= 1) return 0;
  return devices.network_bytes_per_second > 0 ? devices.network_bytes_per_second
                                              : kAssumedNetworkBytesPerSecond;
}

absl::StatusOr<NamedDevices> SplitDevices(std::string_view text) {
  std::vector<int64_t> counts;
  std::string_view name = text;
  for (size_t digits = CountPrefixLength(name); digits > 0 && counts.size() < 2;
       digits = CountPrefixLength(name)) {
    int64_t count = 0;
    if (!ParseInt64(name.substr(0, digits), &count) || count < 1 || count > kLargestDeviceCount) {
      return absl::InvalidArgumentError(StrCat("device count ", name.substr(0, digits), " in '",
                                               text, "' must be 1 to ", kLargestDeviceCount));
    }
    counts.push_back(count);
    name.remove_prefix(digits + 1);
  }
  if (name.empty()) {
    return absl::InvalidArgumentError(
        StrCat("devices '", text,
               "' name no device; write 8xA100-80GB, 2x8xA100-80GB (2 nodes of 8), A100-80GB or "
               "cpu"));
  }
  NamedDevices devices{.name = std::string(name)};
  if (counts.size() == 2) devices.node_count = counts[0];
  if (!counts.empty())
    devices.device_count = counts.back() * std::max<int64_t>(devices.node_count, 1);
  if (devices.device_count > kLargestDeviceCount) {
    return absl::InvalidArgumentError(StrCat("devices '", text, "' are ", devices.device_count,
                                             ", must be 1 to ", kLargestDeviceCount));
  }
  return devices;
}

absl::StatusOr<DeviceGroup> ParseDeviceGroup(std::string_view text) {
  TUNESMITH_ASSIGN_OR_RETURN(const NamedDevices devices, SplitDevices(text));
  DeviceGroup group{.device_count = std::max<int64_t>(devices.device_count, 1),
                    .node_count = std::max<int64_t>(devices.node_count, 1)};
  TUNESMITH_ASSIGN_OR_RETURN(group.hardware, FindHardware(devices.name));
  return group;
}

}  // namespace tunesmith::planner
