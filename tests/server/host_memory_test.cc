#include "server/launch/host_memory.h"

#include <gtest/gtest.h>

#include "planner/answer/search.h"
#include "planner/model/catalog.h"
#include "proto/convert/plan.h"
#include "server/launch/cluster_claim.h"
#include "server/launch/host_launcher.h"
#include "server/launch/slurm/submission.h"

namespace tunesmith::server {
namespace {

v1::Job JobOf(const char* mix, const char* devices) {
  planner::Question question;
  question.model = planner::FindModel("SmolLM2-135M").value();
  question.devices = *planner::ParseDeviceGroup(devices);
  question.precision = planner::Precision::kFp32;
  question.workload = {.context = 128, .rows_per_step = 4};
  const auto prediction = planner::Estimate(question, *planner::ParseMix(mix));
  EXPECT_TRUE(prediction.ok()) << prediction.status();
  v1::Job job;
  *job.mutable_plan() = convert::ToProto(convert::MakePlan(question, *prediction));
  job.mutable_spec()->set_device("cpu");
  job.mutable_spec()->set_thread_count(1);
  return job;
}

constexpr char kLora[] =
    "method=lora:r8 precision=fp32 recompute=block:30 attention=flash loss=chunked batch=1x4";

TEST(HostMemoryTest, MergingAddsTheAdapter) {
  v1::Job job = JobOf(kLora, "cpu");
  const int64_t planned = job.plan().prediction().memory().total_bytes();
  EXPECT_EQ(HostBytesOf(job.plan(), job.spec(), 1), planned);
  job.mutable_spec()->set_merge_output(true);
  // SmolLM2-135M: 30 layers of q (576 x 576), k and v (192 x 576), o (576 x 576), gate and up (1536 x 576) and down (576 x 1536).
  const int64_t of_layer = 8 * (2 * (576 + 576) + 2 * (192 + 576) + 3 * (1536 + 576));
  EXPECT_EQ(HostBytesOf(job.plan(), job.spec(), 1), planned + 4 * 30 * of_layer);
}

// The host's slots and Slurm's memory are asked for alike, for all ranks.
TEST(HostMemoryTest, LaunchersClaimTheSame) {
  v1::Job job = JobOf(
      "method=lora:r8 precision=fp32 recompute=block:30 attention=flash loss=chunked batch=1x2x2",
      "2xcpu");
  job.mutable_spec()->set_merge_output(true);
  const int64_t bytes = HostBytesOf(job.plan(), job.spec(), 2);
  EXPECT_GT(bytes, 2 * job.plan().prediction().memory().total_bytes());
  HostLauncher host({.shim_path = "", .trainer_path = "", .capacity = CapacityOfThisHost()});
  EXPECT_EQ(host.Check(job)->host_memory_bytes(), bytes);
  EXPECT_EQ(ClusterClaim("Slurm", job.plan(), job.spec())->host_memory_bytes(), bytes);
  EXPECT_GE(
      ScriptOf({.shim_path = "", .trainer_path = "", .defaults = {}}, job)->memory_bytes_per_node,
      bytes);
}

}  // namespace
}  // namespace tunesmith::server
