#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/model/cluster.h"
#include "tunesmith/v1/recommender.pb.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

// --cluster FILE: the nodes there are, instead of --gpus. See planner/model/cluster.h.
namespace tunesmith::client {

CLI::Option* AddClusterFlag(CLI::App& app, std::string& path);

// Errors of reading the file, and as NodeGroupsFromJson.
absl::StatusOr<std::vector<planner::NodeGroup>> ReadCluster(const std::string& path);

// The question for all devices of a group; the host memory of a node is shared by its devices, within what the question allowed already.
v1::Question QuestionForGroup(const v1::Question& question, const planner::NodeGroup& group);

// "2 nodes of 8 x H100-SXM".
std::string GroupName(const planner::NodeGroup& group);

}  // namespace tunesmith::client
