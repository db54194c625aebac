#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tunesmith/v1/clusters.pb.h"

namespace tunesmith::server {

// The words for sinfo that AddNodes reads.
std::vector<std::string> SinfoArguments();

// Adds up the nodes in the output of `sinfo` with SinfoArguments(): what there is, and what of it is
// free on nodes that take jobs. A node that several partitions have counts once.
void AddNodes(std::string_view text, v1::Cluster& cluster);

}  // namespace tunesmith::server
