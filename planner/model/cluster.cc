#include "planner/model/cluster.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/json.h"
#include "common/status_macros.h"
#include "common/suggest.h"
#include "common/text.h"
#include "common/units.h"

namespace tunesmith::planner {
namespace {

constexpr std::array<std::string_view, 7> kFields = {"name",
                                                     "count",
                                                     "device",
                                                     "device_count",
                                                     "network_gigabits_per_second",
                                                     "link_gigabytes_per_second",
                                                     "host_memory_gib"};
constexpr int64_t kMostNodeCount = 1 << 16;
constexpr int64_t kMostDevicesPerNode = 1 << 12;
constexpr double kMostGigabits = 1e6;
constexpr double kMostGib = 1e9;

absl::Status CheckFields(const nlohmann::json& node, std::string_view what) {
  if (!node.is_object()) return absl::InvalidArgumentError(StrCat(what, " is not an object"));
  for (const auto& [field, _] : node.items()) {
    if (std::find(kFields.begin(), kFields.end(), field) != kFields.end()) continue;
    return absl::InvalidArgumentError(
        StrCat(what, ": there is no field '", field, "'; ",
               DidYouMean(field, std::vector<std::string>(kFields.begin(), kFields.end()))));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> CountField(const nlohmann::json& node, std::string_view field, int64_t most,
                                   std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t count, JsonFieldOr<int64_t>(node, field, 1, what));
  if (count >= 1 && count <= most) return count;
  return absl::InvalidArgumentError(
      StrCat(what, ": ", field, " is ", count, ", must be 1 to ", most));
}

// 0 where it is left out.
absl::StatusOr<double> AmountField(const nlohmann::json& node, std::string_view field, double most,
                                   std::string_view what) {
  if (!node.contains(field)) return 0.0;
  TUNESMITH_ASSIGN_OR_RETURN(const double amount, JsonField<double>(node, field, what));
  if (amount > 0 && amount <= most) return amount;
  return absl::InvalidArgumentError(
      StrCat(what, ": ", field, " is ", amount, ", must be above 0 and at most ", most));
}

absl::StatusOr<NodeGroup> NodeFromJson(const nlohmann::json& node, const std::string& what) {
  TUNESMITH_RETURN_IF_ERROR(CheckFields(node, what));
  NodeGroup group;
  TUNESMITH_ASSIGN_OR_RETURN(group.node_count, CountField(node, "count", kMostNodeCount, what));
  TUNESMITH_ASSIGN_OR_RETURN(group.devices_per_node,
                             CountField(node, "device_count", kMostDevicesPerNode, what));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string device,
                             JsonField<std::string>(node, "device", what));
  absl::StatusOr<Hardware> hardware = FindHardware(device);
  if (!hardware.ok())
    return absl::Status(hardware.status().code(),
                        StrCat(what, ": ", std::string(hardware.status().message())));
  group.hardware = *std::move(hardware);
  TUNESMITH_ASSIGN_OR_RETURN(const double gigabits,
                             AmountField(node, "network_gigabits_per_second", kMostGigabits, what));
  TUNESMITH_ASSIGN_OR_RETURN(const double gigabytes,
                             AmountField(node, "link_gigabytes_per_second", kMostGigabits, what));
  TUNESMITH_ASSIGN_OR_RETURN(const double gib,
                             AmountField(node, "host_memory_gib", kMostGib, what));
  group.network_bytes_per_second = gigabits * 1e9 / 8;
  if (gigabytes > 0) group.hardware.link_bytes_per_second = gigabytes * 1e9;
  group.host_memory_bytes = std::llround(gib * static_cast<double>(kGiB));
  return group;
}

bool Alike(const NodeGroup& a, const NodeGroup& b) {
  return a.hardware.name == b.hardware.name && a.devices_per_node == b.devices_per_node &&
         a.hardware.link_bytes_per_second == b.hardware.link_bytes_per_second;
}

// The lesser of two amounts of which 0 is none.
template <typename T>
T Lesser(T a, T b) {
  return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

void AddNode(const NodeGroup& node, std::vector<NodeGroup>& groups) {
  const auto like = std::find_if(groups.begin(), groups.end(),
                                 [&](const NodeGroup& g) { return Alike(g, node); });
  if (like == groups.end()) {
    groups.push_back(node);
    return;
  }
  like->node_count += node.node_count;
  like->network_bytes_per_second =
      Lesser(like->network_bytes_per_second, node.network_bytes_per_second);
  like->host_memory_bytes = Lesser(like->host_memory_bytes, node.host_memory_bytes);
}

// `names` are those of the nodes.
absl::Status CheckNetworks(const std::vector<NodeGroup>& nodes,
                           const std::vector<std::string>& names) {
  int64_t node_count = 0;
  for (const NodeGroup& node : nodes) node_count += node.node_count;
  if (node_count == 1) return absl::OkStatus();
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].network_bytes_per_second > 0) continue;
    return absl::InvalidArgumentError(StrCat(names[i], " has no network, and there are ",
                                             node_count,
                                             " nodes; give its network_gigabits_per_second"));
  }
  return absl::OkStatus();
}

std::string NameOf(const nlohmann::json& node, std::string_view file, size_t index) {
  const std::string where = StrCat(file, ": node ", index + 1);
  if (!node.is_object() || !node.contains("name") || !node["name"].is_string()) return where;
  return StrCat(where, " '", node["name"].get_ref<const std::string&>(), "'");
}

}  // namespace

absl::StatusOr<std::vector<NodeGroup>> NodeGroupsFromJson(std::string_view json,
                                                          std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const nlohmann::json root, ParseJsonWithUniqueKeys(json, what));
  TUNESMITH_ASSIGN_OR_RETURN(const nlohmann::json* const array, JsonArray(root, "nodes", what));
  if (array->empty())
    return absl::InvalidArgumentError(StrCat(what, ": nodes is empty; a cluster has one or more"));
  std::vector<NodeGroup> nodes, groups;
  std::vector<std::string> names;
  for (const nlohmann::json& node : *array) {
    names.push_back(NameOf(node, what, names.size()));
    TUNESMITH_ASSIGN_OR_RETURN(NodeGroup group, NodeFromJson(node, names.back()));
    AddNode(group, groups);
    nodes.push_back(std::move(group));
  }
  TUNESMITH_RETURN_IF_ERROR(CheckNetworks(nodes, names));
  return groups;
}

DeviceGroup DevicesOf(const NodeGroup& group) {
  return {.hardware = group.hardware,
          .device_count = group.node_count * group.devices_per_node,
          .node_count = group.node_count,
          .network_bytes_per_second = group.network_bytes_per_second};
}

}  // namespace tunesmith::planner
