#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "server/launch/slurm/cluster_view.h"
#include "server/launch/slurm/job_table.h"
#include "server/launch/slurm/sbatch_script.h"
#include "server/launch/slurm/slurm_states.h"
#include "server/launch/slurm/submission.h"

// What goes to Slurm and comes from it, as text.
namespace tunesmith::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Fixture(const std::string& name) {
  std::ifstream file(std::string(SLURM_FIXTURES) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << name;
  return text.str();
}

SbatchScript Script() {
  return {.job_name = "tunesmith-6f1c-2",
          .node_count = 2,
          .tasks_per_node = 8,
          .cpus_per_task = 4,
          .gpus_per_node = 8,
          .memory_bytes_per_node = (int64_t{1} << 30) + 1,
          .time_limit = absl::Seconds(90 * 60 + 1),
          .warning = absl::Seconds(120),
          .options = {{"partition", "gpu"}, {"constraint", "a100&nvlink"}, {"exclusive", ""}},
          .command = {"/opt/tunesmith/bin/tunesmith-shim", "--run-dir", "/srv/jobs of today/it's",
                      "--attempt", "2"}};
}

TEST(SbatchScriptTest, IsAsKept) { EXPECT_EQ(*RenderSbatch(Script()), Fixture("job.sh")); }

TEST(SbatchScriptTest, AsksOnlyForWhatIsGiven) {
  const std::string text =
      *RenderSbatch({.job_name = "x", .options = {}, .command = {"/bin/true"}});
  for (const char* option : {"--mem", "--time", "--gpus-per-node", "--signal"})
    EXPECT_THAT(text, Not(HasSubstr(option)));
}

TEST(SbatchScriptTest, ShellReadsWordsBackUnchanged) {
  for (const std::string word :
       {"", "it's", "$HOME `id` $(id)", "a\nb", "\\", "*", "''", "\"x\""}) {
    const std::string command = "printf %s " + ShellQuote(word);
    FILE* pipe = popen(command.c_str(), "r");
    std::string read(100, '\0');
    read.resize(fread(read.data(), 1, read.size(), pipe));
    pclose(pipe);
    EXPECT_EQ(read, word) << command;
  }
}

TEST(SbatchScriptTest, RefusesWhatCouldBreakOutOfADirective) {
  for (const std::string text :
       {"constraint=a b", "constraint=a\n#SBATCH --wrap=id", "comment='x'", "comment=\"x\"",
        "comment=$(id)", "comment=`id`", "comment=a\\b", "comment=a#b", "comment=a;id",
        "comment=a>id", "comment=caf\xc3\xa9"}) {
    const auto option = ParseSbatchOption(text);
    EXPECT_FALSE(option.ok()) << text;
    EXPECT_THAT(std::string(option.status().message()), HasSubstr("has the character")) << text;
  }
  for (const std::string text : {"", "=x", "--partition=x", "Partition=x", "a b=c", "-p=x"}) {
    EXPECT_THAT(std::string(ParseSbatchOption(text).status().message()),
                HasSubstr("is no name of an option"))
        << text;
  }
  SbatchScript script = Script();
  script.options.push_back({"comment", "a b"});
  EXPECT_FALSE(RenderSbatch(script).ok()) << "whoever made it";
  script = Script();
  script.command.push_back(std::string("a\0b", 3));
  EXPECT_FALSE(RenderSbatch(script).ok());
}

TEST(SbatchScriptTest, RefusesOptionsOfItsOwn) {
  for (const std::string text :
       {"nodes=3", "wrap=id", "output=x", "requeue", "gres=gpu:1", "array=0-9"}) {
    EXPECT_THAT(std::string(ParseSbatchOption(text).status().message()),
                HasSubstr("is set by Tunesmith"));
  }
  EXPECT_EQ(ParseSbatchOption("constraint=a100=x")->value, "a100=x");
  for (const std::string text : {"nodelist=n0", "time-min=5", "wait-all-nodes=1", "gpu-bind=none"})
    EXPECT_TRUE(ParseSbatchOption(text).ok())
        << text << ": a name of its own, which one of ours begins";
  EXPECT_EQ(ParseSbatchOption("exclusive")->name, "exclusive");
}

// sbatch takes the beginning of an option's name for the whole.
TEST(SbatchScriptTest, RefusesOptionsOfItsOwnThatAreCutShort) {
  for (const auto& [text, own] :
       std::map<std::string, std::string>{{"job-n=x", "job-name"},
                                          {"out=x", "output"},
                                          {"no-req", "no-requeue"},
                                          {"ch=/", "chdir"},
                                          {"gpus-per=1", "gpus-per-node"},
                                          {"exp=NONE", "export"},
                                          {"tres-per-t=gres:gpu:9", "tres-per-task"}}) {
    const std::string name = text.substr(0, text.find('='));
    const absl::Status status = ParseSbatchOption(text).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr(name + " is short for " + own)) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("is set by Tunesmith")) << text;
  }
}

TEST(SlurmOptionsTest, WhatHasAFieldIsNoOptionInAnyLength) {
  for (const char* text : {"partition=x", "part=x", "acc=x", "qos=x", "q=x"}) {
    v1::SlurmOptions options;
    options.add_options(text);
    const absl::Status status = CheckSlurmOptions(options);
    EXPECT_FALSE(status.ok()) << text;
  }
  v1::SlurmOptions options;
  options.add_options("constraint=a100");
  EXPECT_TRUE(CheckSlurmOptions(options).ok());
}

class SqueueTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto jobs = ParseSqueueJson(Fixture(GetParam()));
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    for (const SlurmJob& job : *jobs) jobs_[job.name] = job;
  }
  std::map<std::string, SlurmJob> jobs_;
};

TEST_P(SqueueTest, OldAndNewSayTheSame) {
  EXPECT_EQ(jobs_["tunesmith-done-1"].id, 5);
  EXPECT_EQ(PhaseOf(jobs_["tunesmith-done-1"]), SlurmPhase::kEnded);
  EXPECT_EQ(jobs_["tunesmith-fail-1"].exit_code, 3);
  EXPECT_EQ(jobs_["tunesmith-fail-1"].signal, 0);
  EXPECT_EQ(jobs_["tunesmith-kill-1"].exit_code, 0);
  EXPECT_EQ(jobs_["tunesmith-kill-1"].signal, 9);
  EXPECT_THAT(ExitOf(jobs_["tunesmith-kill-1"]).reason(), HasSubstr("9 (SIGKILL)"));
  EXPECT_EQ(PhaseOf(jobs_["tunesmith-run-1"]), SlurmPhase::kRunning);
  EXPECT_EQ(jobs_["tunesmith-run-1"].nodes, "n[0-3]");
  EXPECT_EQ(jobs_["tunesmith-run-1"].start, absl::FromUnixSeconds(1795721276));
  EXPECT_EQ(PhaseOf(jobs_["tunesmith-pend-1"]), SlurmPhase::kPending);
  EXPECT_EQ(jobs_["tunesmith-pend-1"].start, absl::FromUnixSeconds(1795724876));
  EXPECT_EQ(WaitReason(jobs_["tunesmith-pend-1"]),
            "Slurm job 9 waits: Priority (behind jobs of higher priority)");
  EXPECT_EQ(jobs_["tunesmith-held-1"].start, absl::InfiniteFuture());
  EXPECT_EQ(ExitOf(jobs_["tunesmith-cancel-1"]).state(), v1::JOB_STATE_CANCELLED);
}

INSTANTIATE_TEST_SUITE_P(Versions, SqueueTest,
                         ::testing::Values("squeue-22.05.json", "squeue-24.11.json"),
                         [](const auto& instance) {
                           return instance.index == 0 ? "Slurm2205" : "Slurm2411";
                         });

TEST(SqueueJsonTest, FlagsOutlastTheState) {
  const auto jobs = ParseSqueueJson(Fixture("squeue-24.11.json"));
  std::map<std::string, SlurmJob> by_name;
  for (const SlurmJob& job : *jobs) by_name[job.name] = job;
  EXPECT_EQ(PhaseOf(by_name["tunesmith-again-1"]), SlurmPhase::kPending);
  EXPECT_EQ(by_name["tunesmith-again-1"].start, absl::InfiniteFuture());
  EXPECT_EQ(PhaseOf(by_name["tunesmith-stopping-1"]), SlurmPhase::kEnding);
  EXPECT_EQ(PhaseOf(by_name["tunesmith-held-2"]), SlurmPhase::kHeld);
}

TEST(SqueueJsonTest, OtherTextIsAnError) {
  for (const char* text : {"", "[]", "{}", "{\"jobs\": 3}", "slurm_load_jobs error"})
    EXPECT_FALSE(ParseSqueueJson(text).ok()) << text;
  EXPECT_TRUE(ParseSqueueJson(R"({"jobs": [7, {"job_id": 0}, {"job_id": 3}]})")->empty());
}

// 23.02's form of a wait status.
TEST(SqueueJsonTest, ReadsAWaitStatusInANumber) {
  const auto jobs = ParseSqueueJson(
      R"({"jobs": [{"job_id": 2, "job_state": "FAILED",
          "exit_code": {"set": true, "infinite": false, "number": 768}},
         {"job_id": 3, "job_state": "FAILED",
          "exit_code": {"set": true, "infinite": false, "number": 9}}]})");
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  EXPECT_EQ(jobs->at(0).exit_code, 3);
  EXPECT_EQ(jobs->at(0).signal, 0);
  EXPECT_EQ(jobs->at(1).exit_code, 0);
  EXPECT_EQ(jobs->at(1).signal, 9);
}

TEST(SqueueJsonTest, NamesAreBytes) {
  const auto jobs = ParseSqueueJson(
      "{\"jobs\": [{\"job_id\": 2, \"name\": \"caf\xe9\", \"job_state\": \"PENDING\"}]}");
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  EXPECT_EQ(jobs->at(0).name, "caf\xef\xbf\xbd");
}

TEST(SacctTest, ReadsStateExitAndName) {
  const auto jobs = ParseSacct(
      "17|CANCELLED by 1000|0:0|None assigned|tunesmith-a-1\n18|FAILED|9:0|n[0-1]|a|b\n"
      "18.batch|FAILED|9:0|n0|batch\nnonsense\n19|TIMEOUT|x|n0|c\n");
  ASSERT_EQ(jobs.size(), 2u);
  EXPECT_THAT(jobs[0].states, ElementsAre("CANCELLED"));
  EXPECT_EQ(jobs[1].exit_code, 9);
  EXPECT_EQ(jobs[1].name, "a|b");
}

// A line as slurmctld 22.05.8 writes it.
TEST(JobCompTest, ReadsTheEndsOfTries) {
  const auto jobs = ParseJobComp(
      "JobId=7 UserId=root(0) GroupId=root(0) Name=tunesmith-kill-1 JobState=FAILED Partition=gpu "
      "TimeLimit=60 StartTime=2026-11-26T19:27:55 EndTime=2026-11-26T19:27:55 NodeList=n0 "
      "NodeCnt=1 "
      "ProcCnt=1 WorkDir=/srv/jobs ReservationName= Tres=cpu=1,mem=256M,node=1,billing=1 Account= "
      "QOS= WcKey= Cluster=unknown DerivedExitCode=0:0 ExitCode=0:9 \nJobId=x\n");
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].signal, 9);
  EXPECT_EQ(jobs[0].name, "tunesmith-kill-1");
}

// Lines as sinfo 22.05.8 prints them, and forms of gres that its manual has.
TEST(ClusterViewTest, AddsUpNodesOnce) {
  v1::Cluster cluster;
  AddNodes(
      "n0|mix|1/63/0/64|512000|256|gpu:h100:8|gpu:h100:2(IDX:0-1)|\n"
      "n0|mix|1/63/0/64|512000|256|gpu:h100:8|gpu:h100:2(IDX:0-1)|\n"
      "n1|down*|0/0/64/64|512000|0|gpu:h100:8|gpu:h100:0(IDX:N/A)|\n"
      "n2|idle|0/32/0/32|1000|0|gpu:a100:2(S:0-1),gpu:t4:1,shard:8|gpu:a100:1(IDX:0,1),gpu:t4:0|\n"
      "n3|idle|0/32/0/32|1000|0|(null)|(null)|\nnonsense\n",
      cluster);
  EXPECT_EQ(cluster.gpu_count(), 8 + 8 + 3);
  EXPECT_EQ(cluster.free_gpu_count(), 6 + 2);
  EXPECT_EQ(cluster.cpu_thread_count(), 64 + 64 + 32 + 32);
  EXPECT_EQ(cluster.free_cpu_thread_count(), 63 + 32 + 32);
  EXPECT_EQ(cluster.free_host_memory_bytes(), (512000 - 256 + 1000 + 1000) * (int64_t{1} << 20));
}

SlurmJob In(const std::string& state, const std::string& reason = "") {
  return {.id = 17, .name = {}, .states = {state}, .reason = reason, .nodes = "n0"};
}

TEST(SlurmStatesTest, EndsBecomeCauses) {
  const std::map<std::string, v1::EndCause> causes = {
      {"COMPLETED", v1::END_CAUSE_LOST},           {"FAILED", v1::END_CAUSE_LOST},
      {"CANCELLED", v1::END_CAUSE_CANCELLED},      {"TIMEOUT", v1::END_CAUSE_TIME_LIMIT},
      {"DEADLINE", v1::END_CAUSE_TIME_LIMIT},      {"PREEMPTED", v1::END_CAUSE_PREEMPTED},
      {"NODE_FAIL", v1::END_CAUSE_NODE_FAILED},    {"BOOT_FAIL", v1::END_CAUSE_NODE_FAILED},
      {"OUT_OF_MEMORY", v1::END_CAUSE_KILLED},     {"REVOKED", v1::END_CAUSE_CANCELLED},
      {"LAUNCH_FAILED", v1::END_CAUSE_NODE_FAILED}};
  for (const auto& [state, cause] : causes) {
    EXPECT_EQ(PhaseOf(In(state)), SlurmPhase::kEnded) << state;
    EXPECT_EQ(ExitOf(In(state)).cause(), cause) << state;
    EXPECT_THAT(ExitOf(In(state)).reason(), HasSubstr("Slurm job 17 ")) << state;
  }
}

TEST(SlurmStatesTest, WhatIsNotKnownIsWatchedOn) {
  EXPECT_EQ(PhaseOf(In("SOMETHING_NEW")), SlurmPhase::kRunning);
  for (const char* state : {"CONFIGURING", "RUNNING", "SUSPENDED", "RESIZING"})
    EXPECT_EQ(PhaseOf(In(state)), SlurmPhase::kRunning) << state;
  EXPECT_EQ(PhaseOf(In("COMPLETING")), SlurmPhase::kEnding);
}

TEST(SlurmStatesTest, AJobThatCouldNotBeLaunchedIsHeld) {
  for (const char* reason : {"launch_failed_requeued_held", "launch failed requeued held"})
    EXPECT_EQ(PhaseOf(In("PENDING", reason)), SlurmPhase::kHeld) << reason;
  EXPECT_EQ(PhaseOf(In("PENDING", "JobHeldUser")), SlurmPhase::kPending);
  EXPECT_EQ(PhaseOf(In("REQUEUE_HOLD")), SlurmPhase::kHeld);
  EXPECT_TRUE(IsHeldByFailedLaunch(In("REQUEUE_HOLD", "launch_failed_requeued_held")));
  EXPECT_FALSE(IsHeldByFailedLaunch(In("REQUEUE_HOLD", "JobHeldUser"))) << "an operator's wish";
}

TEST(SlurmStatesTest, AFailedLaunchIsKnownByItsDescription) {
  const auto jobs = ParseSqueueJson(
      R"({"jobs": [{"job_id": 2, "name": "a", "job_state": "PENDING", "state_reason": "JobHeldUser",
          "state_description": "launch failed requeued held"},
         {"job_id": 3, "name": "b", "job_state": "PENDING", "state_reason": "JobHeldUser",
          "state_description": "job requeued in held state"}]})");
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  ASSERT_EQ(jobs->size(), 2u);
  EXPECT_EQ(PhaseOf(jobs->at(0)), SlurmPhase::kHeld);
  EXPECT_THAT(WaitReason(jobs->at(0)), HasSubstr("launch failed requeued held"));
  EXPECT_EQ(PhaseOf(jobs->at(1)), SlurmPhase::kPending) << "somebody wants it held";
}

}  // namespace
}  // namespace tunesmith::server
