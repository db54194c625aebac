#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/str_cat.h"
#include "tests/server/server_process.h"
#include "tests/server/slurm_cluster.h"

// The hooks of deploy/slurm, in a real Slurm and with the command that they ask.
namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kComment[] = "tunesmith:model=llama-2-7b,context=4096,dataset_tokens=30000000";

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string Hook(const std::string& name) {
  const std::string text = Contents(StrCat(HOOKS_DIR, "/", name));
  EXPECT_FALSE(text.empty()) << name;
  return text;
}

class SlurmHooksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = SlurmCluster::WhyAbsent(); !why.empty()) GTEST_SKIP() << why;
  }

  void StartCluster(const std::string& configuration, const std::string& settings = "") {
    const std::string command = std::filesystem::absolute(BinaryPath("tunesmith"));
    cluster_ = std::make_unique<SlurmCluster>(SlurmClusterOptions{
        .configuration = configuration,
        .beside = {{"cli_filter.lua", Hook("cli_filter.lua")},
                   {"job_submit.lua", Hook("job_submit.lua")},
                   {"tunesmith_hint.lua", Hook("tunesmith_hint.lua")},
                   {"tunesmith_settings.lua",
                    StrCat("return {tunesmith = \"", command, "\"", settings, "}\n")}}});
  }

  // Submits a job that waits, so that what it asks for can be read.
  ProcessResult Submit(const std::string& comment, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"sbatch", "--parsable", "--hold", "--output=/dev/null",
                                      "--comment=" + comment};
    words.insert(words.end(), more.begin(), more.end());
    words.push_back(scratch_.File("job.sh", "#!/bin/bash\ntrue\n"));
    return cluster_->Run(words);
  }

  std::string Field(const ProcessResult& submitted, const std::string& field) {
    const std::string id = submitted.output.substr(0, submitted.output.find_first_of(";\n"));
    return cluster_->JobField(id, field);
  }

  // What kComment should ask for, by name: "memory_mib".
  static std::string Predicted(const std::string& name) {
    const std::string line = RunProcess({BinaryPath("tunesmith"), "--offline", "slurm-hint",
                                         "--gpu", "A100-80GB", "--comment", kComment})
                                 .output;
    const std::string mark = " " + name + "=";
    const size_t at = line.find(mark) + mark.size();
    return line.substr(at, line.find_first_of(" \n", at) - at);
  }
  // Of a node, as Slurm shows it: "1524M".
  static std::string PredictedMemory() { return Predicted("memory_mib") + "M"; }
  // "02:10:00".
  static std::string PredictedTime() {
    const int minutes = std::atoi(Predicted("minutes").c_str());
    return absl::StrFormat("%02d:%02d:00", minutes / 60, minutes % 60);
  }

  // What shells would do with it, were it to reach one.
  std::vector<std::string> HostileComments() {
    const std::string touch = "touch " + Witness();
    return {StrCat("tunesmith:model=x;", touch),
            StrCat("tunesmith:model=$(", touch, ")"),
            StrCat("tunesmith:model=`", touch, "`"),
            StrCat("tunesmith:model=x' ; ", touch, " '"),
            StrCat("tunesmith:model=x\"; ", touch),
            StrCat("tunesmith:model=x|", touch),
            StrCat("tunesmith:model=x\n", touch, "\n"),
            StrCat("tunesmith:model=x&&", touch),
            StrCat("tunesmith:model=>", Witness()),
            StrCat("tunesmith:model=x ", touch),
            StrCat("tunesmith:", std::string(300, 'a')),
            "tunesmith:model=x\\",
            "tunesmith:"};
  }
  std::string Witness() { return scratch_.path() + "/witness"; }

  ScratchDirectory scratch_;
  std::unique_ptr<SlurmCluster> cluster_;
};

TEST_F(SlurmHooksTest, TheFilterAsksForWhatIsPredicted) {
  StartCluster("CliFilterPlugins=lua\n");
  const ProcessResult submitted = Submit(kComment);
  ASSERT_EQ(submitted.status, 0) << submitted.errors;
  EXPECT_THAT(Field(submitted, "TresPerNode"), HasSubstr("gpu:1"));
  EXPECT_EQ(Field(submitted, "TimeLimit"), PredictedTime());
  EXPECT_NE(PredictedTime(), "01:00:00") << "the partition's own";
  EXPECT_EQ(Field(submitted, "MinMemoryNode"), PredictedMemory());
}

TEST_F(SlurmHooksTest, TheFilterLeavesWhatTheUserAsksFor) {
  StartCluster("CliFilterPlugins=lua\n");
  const ProcessResult submitted =
      Submit(kComment, {"--gpus-per-node=4", "--time=7", "--mem=9000M"});
  ASSERT_EQ(submitted.status, 0) << submitted.errors;
  EXPECT_THAT(Field(submitted, "TresPerNode"), HasSubstr("gpu:4"));
  EXPECT_EQ(Field(submitted, "TimeLimit"), "00:07:00");
  EXPECT_EQ(Field(submitted, "MinMemoryNode"), "9000M");
  const ProcessResult other = Submit("a comment of somebody's own; $(true)");
  ASSERT_EQ(other.status, 0) << other.errors;
  EXPECT_THAT(Field(other, "TresPerNode"), Not(HasSubstr("gpu")));
}

TEST_F(SlurmHooksTest, TheFilterRefusesHostileComments) {
  StartCluster("CliFilterPlugins=lua\n");
  for (const std::string& comment : HostileComments()) {
    const ProcessResult submitted = Submit(comment);
    EXPECT_NE(submitted.status, 0) << comment;
    EXPECT_THAT(submitted.errors, HasSubstr("letters, digits")) << comment;
  }
  EXPECT_FALSE(std::filesystem::exists(Witness()));
}

TEST_F(SlurmHooksTest, WithoutAnAnswerTheJobIsSubmittedAsItIs) {
  StartCluster("CliFilterPlugins=lua\n", ", gpu = \"NoSuchGpu\"");
  const ProcessResult submitted = Submit(kComment);
  EXPECT_EQ(submitted.status, 0);
  EXPECT_THAT(submitted.errors, HasSubstr("no recommendation"));
  EXPECT_THAT(Field(submitted, "TresPerNode"), Not(HasSubstr("gpu")));
}

TEST_F(SlurmHooksTest, SettingsThatAreNotHarmlessReachNoShell) {
  StartCluster("CliFilterPlugins=lua\n", StrCat(", gpu = \"x; touch ", Witness(), "\""));
  const ProcessResult submitted = Submit(kComment);
  EXPECT_EQ(submitted.status, 0);
  EXPECT_THAT(submitted.errors, HasSubstr("no recommendation")) << "the hook ran";
  EXPECT_THAT(Field(submitted, "TresPerNode"), Not(HasSubstr("gpu")));
  EXPECT_FALSE(std::filesystem::exists(Witness()));
}

// What the hook builds does get to a shell: a harmless setting names the command that runs.
TEST_F(SlurmHooksTest, SettingsThatAreHarmlessDo) {
  const std::string command =
      scratch_.File("says", StrCat("#!/bin/sh\ntouch ", Witness(),
                                   "\necho nodes=1 gpus_per_node=3 memory_mib=900 minutes=9\n"));
  std::filesystem::permissions(command, std::filesystem::perms::owner_all);
  StartCluster("CliFilterPlugins=lua\n", StrCat(", gpu = \"x\", tunesmith = \"", command, "\""));
  const ProcessResult submitted = Submit(kComment);
  EXPECT_TRUE(std::filesystem::exists(Witness()));
  EXPECT_THAT(Field(submitted, "TresPerNode"), HasSubstr("gpu:3"));
}

TEST_F(SlurmHooksTest, TheControllerFillsInToo) {
  StartCluster("JobSubmitPlugins=lua\n");
  const ProcessResult submitted = Submit(kComment);
  ASSERT_EQ(submitted.status, 0) << submitted.errors << cluster_->ControllerLog();
  EXPECT_THAT(Field(submitted, "TresPerNode"), HasSubstr("gpu:1"));
  EXPECT_EQ(Field(submitted, "TimeLimit"), PredictedTime());
  EXPECT_EQ(Field(submitted, "MinMemoryNode"), PredictedMemory());
  for (const std::string& comment : HostileComments())
    EXPECT_NE(Submit(comment).status, 0) << comment;
  EXPECT_FALSE(std::filesystem::exists(Witness()));
  EXPECT_EQ(cluster_->Run({"squeue", "-h"}).status, 0) << "the controller lives";
}

TEST_F(SlurmHooksTest, MemoryThatIsGivenStays) {
  for (const char* plugin : {"JobSubmitPlugins=lua\n", "CliFilterPlugins=lua\n"}) {
    StartCluster(plugin);
    EXPECT_EQ(Field(Submit(kComment, {"--mem=77M"}), "MinMemoryNode"), "77M") << plugin;
    EXPECT_EQ(Field(Submit(kComment, {"--mem-per-cpu=77M"}), "MinMemoryCPU"), "77M") << plugin;
    const ProcessResult per_gpu = Submit(kComment, {"--gpus-per-node=1", "--mem-per-gpu=77M"});
    ASSERT_EQ(per_gpu.status, 0) << per_gpu.errors;
    EXPECT_NE(Field(per_gpu, "MinMemoryNode"), PredictedMemory()) << plugin;
    EXPECT_EQ(Field(per_gpu, "MemPerTres"), "gres:gpu:77") << plugin;
  }
}

// GPUs of a node, in all the words that sbatch has for them.
TEST_F(SlurmHooksTest, ThePolicyReadsEverySpelling) {
  const std::string says =
      scratch_.File("says", "#!/bin/sh\necho nodes=1 gpus_per_node=4 memory_mib=900 minutes=9\n");
  std::filesystem::permissions(says, std::filesystem::perms::owner_all);
  StartCluster("JobSubmitPlugins=lua\n",
               StrCat(", require_fit = true, tunesmith = \"", says, "\""));
  const std::vector<std::vector<std::string>> enough = {
      {"--gres=gpu:h100:4"},
      {"--gres=gpu:4"},
      {"--gpus=4"},
      {"--gpus=h100:4"},
      {"--gpus-per-node=h100:5"},
      {"--gpus=8", "--nodes=2"},
      {"--gpus-per-task=1", "--ntasks=4"},
      {"--gpus-per-task=h100:2", "--nodes=2", "--ntasks-per-node=2"},
      {"--gpus-per-socket=2", "--sockets-per-node=2"}};
  for (const auto& words : enough) {
    const ProcessResult submitted = Submit(kComment, words);
    EXPECT_THAT(submitted.errors, Not(HasSubstr("tunesmith"))) << words[0];
  }
  const std::vector<std::pair<std::vector<std::string>, int>> too_few = {
      {{"--gres=gpu:h100"}, 1},
      {{"--gres=gpu"}, 1},
      {{"--gres=gpu:h100:3"}, 3},
      {{"--gpus=3"}, 3},
      {{"--gpus=h100:3"}, 3},
      {{"--gpus=4", "--nodes=2"}, 2},
      {{"--gpus-per-node=h100:2"}, 2},
      {{"--gpus-per-task=3", "--ntasks=1"}, 3},
      {{"--gpus-per-task=1", "--nodes=2", "--ntasks-per-node=2"}, 2}};
  for (const auto& [words, asked] : too_few) {
    const ProcessResult refused = Submit(kComment, words);
    EXPECT_NE(refused.status, 0) << words[0];
    EXPECT_THAT(refused.errors, HasSubstr(StrCat("and the job asks for ", asked))) << words[0];
  }
}

TEST_F(SlurmHooksTest, ThePolicyRefusesTooFewGpus) {
  StartCluster("JobSubmitPlugins=lua\n", ", require_fit = true, gpu = \"A100-40GB\"");
  const std::string comment = "tunesmith:model=Llama-2-7b-hf,context=4096,method=full";
  const ProcessResult fits = Submit(comment);
  ASSERT_EQ(fits.status, 0) << fits.errors;
  EXPECT_THAT(Field(fits, "TresPerNode"), Not(HasSubstr("gpu:1")));
  const ProcessResult refused = Submit(comment, {"--gpus-per-node=1"});
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.errors, HasSubstr("and the job asks for 1"));
}

// A recommender that hangs costs the first job 0.2 s and the next ones nothing, and none fails.
TEST_F(SlurmHooksTest, TheControllerDoesNotWait) {
  const std::string hangs = scratch_.File("hangs", "#!/bin/sh\nexec sleep 60\n");
  std::filesystem::permissions(hangs, std::filesystem::perms::owner_all);
  StartCluster("JobSubmitPlugins=lua\n", StrCat(", tunesmith = \"", hangs, "\""));
  absl::Duration longest, second;
  for (int i = 0; i < 2; ++i) {
    const absl::Time start = absl::Now();
    EXPECT_EQ(Submit(kComment).status, 0);
    (i == 0 ? longest : second) = absl::Now() - start;
  }
  EXPECT_GT(longest, absl::Milliseconds(200)) << "it was asked";
  EXPECT_LT(longest, absl::Seconds(2));
  EXPECT_LT(second, absl::Milliseconds(200)) << "and not again";
}

// Of jobs that ran to their end with the GPUs that were recommended (here two nodes of one), and once for all nodes.
TEST_F(SlurmHooksTest, TheEpilogReportsWhatAJobTook) {
  const std::string hooks = scratch_.path() + "/hooks";
  std::filesystem::create_directories(hooks);
  std::filesystem::copy(StrCat(HOOKS_DIR, "/epilog.sh"), hooks);
  ServerProcess server(scratch_.path() + "/data");
  // Accounting wants a database, which is not here: these lines were printed by sacct 22.05.8 with one, for a job that held 300 MiB.
  const std::string sacct = scratch_.File("hooks/sacct", "#!/bin/sh\nprintf '\\n329912320\\n'\n");
  std::filesystem::permissions(sacct, std::filesystem::perms::owner_all);
  std::ofstream(hooks + "/tunesmith_epilog.conf")
      << "TUNESMITH=" << std::filesystem::absolute(BinaryPath("tunesmith")).string()
      << " TUNESMITH_SERVER=" << server.address() << " DEVICES_PER_NODE=1\nexport PATH=" << hooks
      << ":$PATH\n";
  StartCluster(StrCat("Epilog=", hooks, "/epilog.sh\n"));
  const std::string full = "tunesmith:model=llama-2-7b,context=4096,method=full";
  const auto run = [&](const std::string& comment, std::vector<std::string> words,
                       const std::string& script = "sleep 2") {
    words.insert(words.begin(), {"sbatch", "--parsable", "--output=/dev/null",
                                 "--comment=" + comment, "--wrap=" + script});
    ASSERT_EQ(cluster_->Run(words).status, 0) << words.back();
  };
  run(StrCat("tunesmith:model=$(touch ", Witness(), ")"), {"--nodes=2", "--gpus-per-node=1"});
  run(full, {"--nodes=2", "--gpus-per-node=2"});
  run(full, {"--nodes=1", "--gpus-per-node=2"});
  run(full, {"--nodes=2"});
  run(full, {"--nodes=2", "--gpus-per-node=1"}, "sleep 2; exit 3");
  run(full, {"--nodes=2", "--gpus-per-node=1"});  // the sixth
  run(full, {"--nodes=2", "--gpus=3"});
  for (int i = 0; i < 300 && !cluster_->Run({"squeue", "-h"}).output.empty(); ++i)
    absl::SleepFor(absl::Milliseconds(100));
  const std::string listed = RunProcess({BinaryPath("tunesmith"), "--server", server.address(),
                                         "measurements", "-o", "json"})
                                 .output;
  EXPECT_THAT(listed, HasSubstr("\"peak_host_bytes\": \"329912320\""));
  EXPECT_THAT(listed, ::testing::ContainsRegex("\"total_seconds\": [2-9]"));
  EXPECT_THAT(listed, HasSubstr("Slurm job 6"));
  for (const char* other : {"job 1", "job 2", "job 3", "job 4", "job 5", "job 7"})
    EXPECT_THAT(listed, Not(HasSubstr(other)));
  EXPECT_FALSE(std::filesystem::exists(Witness()));
  EXPECT_THAT(cluster_->Run({"sinfo", "-h", "-o", "%T"}).output, Not(HasSubstr("drain")));
}

}  // namespace
}  // namespace tunesmith::server
