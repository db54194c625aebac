#include "planner/model/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/units.h"

namespace tunesmith::planner {
namespace {

using ::testing::HasSubstr;

constexpr char kMixed[] = R"({"nodes": [
  {"name": "a", "count": 3, "device": "H100", "device_count": 8, "network_gigabits_per_second": 400,
   "host_memory_gib": 2048},
  {"name": "b", "device": "L4", "device_count": 2, "network_gigabits_per_second": 100},
  {"name": "c", "device": "h100-sxm", "device_count": 8, "network_gigabits_per_second": 200,
   "host_memory_gib": 1024.5},
  {"name": "d", "device": "L4", "device_count": 2, "network_gigabits_per_second": 100,
   "link_gigabytes_per_second": 12.5}]})";

TEST(ClusterTest, NodesThatAreAlikeAreOneGroupWithTheLeastOfThem) {
  const auto groups = NodeGroupsFromJson(kMixed, "c.json");
  ASSERT_TRUE(groups.ok()) << groups.status();
  ASSERT_EQ(groups->size(), 3u);
  const NodeGroup& h100 = (*groups)[0];
  EXPECT_EQ(h100.hardware.name, "H100-SXM");
  EXPECT_EQ(h100.node_count, 4);
  EXPECT_EQ(h100.network_bytes_per_second, 25e9);
  EXPECT_EQ(h100.host_memory_bytes, 1024 * kGiB + kGiB / 2);
  EXPECT_EQ(DevicesOf(h100).device_count, 32);
  EXPECT_EQ(DevicesOf(h100).node_count, 4);
  EXPECT_EQ((*groups)[1].host_memory_bytes, 0);
  EXPECT_EQ((*groups)[2].hardware.link_bytes_per_second, 12.5e9);
}

TEST(ClusterTest, OneNodeNeedsNoNetwork) {
  const auto groups = NodeGroupsFromJson(R"({"nodes": [{"device": "L4"}]})", "c.json");
  ASSERT_TRUE(groups.ok()) << groups.status();
  EXPECT_EQ(DevicesOf(groups->front()).device_count, 1);
}

TEST(ClusterTest, RefusesWhatIsWrongByNode) {
  const struct {
    const char* json;
    absl::StatusCode code;
    const char* says;
  } cases[] = {
      {R"({"nodes": [{"device": "L4", "network_gigabits_per_second": 9}, {"name": "gpu7", "device": "L4"}]})",
       absl::StatusCode::kInvalidArgument,
       "c.json: node 2 'gpu7' has no network, and there are 2 nodes"},
      {R"({"nodes": [{"count": 2, "device": "L4"}]})", absl::StatusCode::kInvalidArgument,
       "c.json: node 1 has no network, and there are 2 nodes"},
      {R"({"nodes": []})", absl::StatusCode::kInvalidArgument, "nodes is empty"},
      {R"({})", absl::StatusCode::kInvalidArgument, "nodes"},
      {R"([])", absl::StatusCode::kInvalidArgument, "c.json"},
      {R"({"nodes": [7]})", absl::StatusCode::kInvalidArgument, "node 1 is not an object"},
      {R"({"nodes": [{}]})", absl::StatusCode::kInvalidArgument, "device"},
      {R"({"nodes": [{"device": "H10"}]})", absl::StatusCode::kNotFound, "did you mean"},
      {R"({"nodes": [{"device": "L4", "device_count": 0}]})", absl::StatusCode::kInvalidArgument,
       "device_count is 0, must be 1 to"},
      {R"({"nodes": [{"device": "L4", "count": -1}]})", absl::StatusCode::kInvalidArgument,
       "count is -1"},
      {R"({"nodes": [{"device": "L4", "host_memory_gib": 0}]})", absl::StatusCode::kInvalidArgument,
       "host_memory_gib is 0"},
      {R"({"nodes": [{"device": "L4", "network": 100}]})", absl::StatusCode::kInvalidArgument,
       "there is no field 'network'; did you mean"},
      {R"({"nodes": [)", absl::StatusCode::kInvalidArgument, "c.json"},
  };
  for (const auto& bad : cases) {
    const auto groups = NodeGroupsFromJson(bad.json, "c.json");
    EXPECT_EQ(groups.status().code(), bad.code) << bad.json << groups.status();
    EXPECT_THAT(std::string(groups.status().message()), HasSubstr(bad.says));
  }
}

}  // namespace
}  // namespace tunesmith::planner
