#include "client/cluster_flag.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/model.h"

namespace tunesmith::client {

CLI::Option* AddClusterFlag(CLI::App& app, std::string& path) {
  return app
      .add_option("--cluster", path,
                  "JSON file that describes the nodes there are; kinds of nodes are asked about "
                  "one by one")
      ->excludes("--gpus")
      ->excludes("--network");
}

absl::StatusOr<std::vector<planner::NodeGroup>> ReadCluster(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  return planner::NodeGroupsFromJson(json, path);
}

v1::Question QuestionForGroup(const v1::Question& question, const planner::NodeGroup& group) {
  v1::Question changed = question;
  *changed.mutable_device_group() = convert::ToProto(planner::DevicesOf(group));
  if (group.host_memory_bytes == 0) return changed;
  const int64_t share = group.host_memory_bytes / group.devices_per_node;
  const int64_t asked = question.host_memory_budget_bytes();
  changed.set_host_memory_budget_bytes(asked == 0 ? share : std::min(asked, share));
  return changed;
}

std::string GroupName(const planner::NodeGroup& group) {
  const std::string node = StrCat(group.devices_per_node, " x ", group.hardware.name);
  return group.node_count == 1 ? StrCat("a node of ", node)
                               : StrCat(group.node_count, " nodes of ", node);
}

}  // namespace tunesmith::client
