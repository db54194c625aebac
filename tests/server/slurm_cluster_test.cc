#include "tests/server/slurm_cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"

// The cluster that tests stand on is itself what it says.
namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;

TEST(SlurmClusterTest, HandsOutGpusOfItsNodesAndEndsWithoutRemains) {
  if (const std::string why = SlurmCluster::WhyAbsent(); !why.empty()) GTEST_SKIP() << why;
  const absl::Time start = absl::Now();
  SlurmCluster cluster;
  RecordProperty("start_milliseconds",
                 static_cast<int>((absl::Now() - start) / absl::Milliseconds(1)));
  std::printf("started in %.2f s\n", absl::ToDoubleSeconds(absl::Now() - start));
  const ScratchDirectory scratch;
  const std::string script = scratch.File(
      "job.sh", "#!/bin/bash\necho gpus=$CUDA_VISIBLE_DEVICES nodes=$SLURM_JOB_NODELIST\n");
  const ProcessResult submitted =
      cluster.Run({"sbatch", "--parsable", "--nodes=2", "--gpus-per-node=2",
                   "--output=" + scratch.path() + "/out", script});
  ASSERT_EQ(submitted.status, 0) << submitted.errors;
  for (int i = 0; i < 200 && cluster.JobField("1", "JobState") != "COMPLETED"; ++i)
    absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(cluster.JobField("1", "JobState"), "COMPLETED") << cluster.ControllerLog();
  const ProcessResult printed = RunProcess({"/bin/cat", scratch.path() + "/out"});
  EXPECT_THAT(printed.output, HasSubstr("gpus=0,1 nodes=n[0-1]"));
}

}  // namespace
}  // namespace tunesmith::server
