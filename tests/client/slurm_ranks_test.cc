// Two nodes of a real Slurm train one model together, by MPI, and learn what one node learns.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tests/client/ranked_launch.h"
#include "tests/common/processes.h"
#include "tests/server/server_process.h"
#include "tests/server/slurm_cluster.h"

namespace tunesmith::client {
namespace {

using server::BinaryPath;
using server::SlurmCluster;

// The Slurm nodes on which trainers of this data directory have been seen, while the object lived.
class NodesSeen {
 public:
  explicit NodesSeen(std::string directory)
      : directory_(std::move(directory)), thread_([this] { Watch(); }) {}

  std::set<std::string> Stop() {
    stopping_ = true;
    thread_.join();
    return nodes_;
  }

 private:
  void Watch() {
    for (; !stopping_; absl::SleepFor(absl::Milliseconds(10))) {
      for (const ProcessSeen& process : ProcessesThatNameIt(directory_)) {
        const std::string program = process.command.substr(0, process.command.find('\0'));
        if (program.ends_with("tunesmith-trainer")) NoteNode(process.environment);
      }
    }
  }

  void NoteNode(const std::string& environment) {
    for (const absl::string_view variable : absl::StrSplit(environment, '\0')) {
      constexpr absl::string_view kName = "SLURMD_NODENAME=";
      if (absl::StartsWith(variable, kName))
        nodes_.insert(std::string(variable.substr(kName.size())));
    }
  }

  const std::string directory_;
  std::atomic<bool> stopping_{false};
  std::set<std::string> nodes_;
  std::thread thread_;
};

class SlurmRanksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = SlurmCluster::WhyAbsent(); !why.empty()) GTEST_SKIP() << why;
    if (std::system("command -v mpirun >/dev/null") != 0)
      GTEST_SKIP() << "mpirun is not installed (openmpi-bin)";
    if (!std::filesystem::exists(BinaryPath("libtunesmith_mpi.so")))
      GTEST_SKIP() << "the plugin was not built (libopenmpi-dev)";
    cluster_ = std::make_unique<SlurmCluster>();
  }

  // Nodes that are one host would take each other's shared memory for their own.
  std::map<int64_t, double> Launch(const std::string& devices, const std::string& launcher) {
    return LossesOf(files_,
                    {.name = launcher,
                     .devices = devices,
                     .environment = {{"OMPI_MCA_btl", "tcp,self"}},
                     .server_flags = {"--launchers", launcher, "--slurm-poll-seconds", "0.2"},
                     .launch_flags = {"--threads", "1"}});
  }

  trainer::JobFiles files_{kRankedMix};
  std::unique_ptr<SlurmCluster> cluster_;
};

TEST_F(SlurmRanksTest, TwoNodesLearnWhatOneLearns) {
  const auto one_node = Launch("2xcpu", "host");
  ASSERT_EQ(one_node.size(), 6u);
  EXPECT_LT(one_node.at(6), one_node.at(1));
  NodesSeen seen(files_.File("slurm"));
  const auto two_nodes = Launch("2x1xcpu", "slurm");
  EXPECT_EQ(seen.Stop(), (std::set<std::string>{"n0", "n1"}));
  EXPECT_EQ(cluster_->JobField("1", "NodeList"), "n[0-1]");
  EXPECT_EQ(cluster_->JobField("1", "NumNodes"), "2");
  EXPECT_EQ(two_nodes, one_node) << "bit for bit";
}

}  // namespace
}  // namespace tunesmith::client
