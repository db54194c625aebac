#include "server/rank_starter.h"

#include <signal.h>
#include <sys/wait.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "absl/time/clock.h"
#include "common/host_port.h"
#include "common/str_cat.h"
#include "proto/convert/run_directory.h"
#include "server/node_claim.h"
#include "server/process.h"

namespace tunesmith::server {
namespace {

constexpr absl::Duration kTimeToEnd = absl::Seconds(30);
constexpr absl::Duration kTick = absl::Milliseconds(50);
constexpr int kNotStarted = 127;

int StatusOf(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

absl::StatusOr<pid_t> StartRank(const NodeRanks& ranks, int64_t local_rank) {
  return Spawn(
      {.arguments = ranks.command,
       .environment = {StrCat("RANK=", ranks.first_rank + local_rank),
                       StrCat("WORLD_SIZE=", ranks.world_size), StrCat("LOCAL_RANK=", local_rank),
                       StrCat("LOCAL_WORLD_SIZE=", ranks.count),
                       StrCat("GROUP_RANK=", ranks.node_index),
                       StrCat("MASTER_ADDR=", ranks.master_host),
                       StrCat("MASTER_PORT=", ranks.master_port)},
       .output_path = ranks.log_path,
       .dies_with_parent = true});
}

void Kill(const std::vector<pid_t>& processes) {
  for (const pid_t pid : processes) kill(pid, SIGKILL);
}

// Waits for all; the status of the first that failed.
int WaitForRanks(std::vector<pid_t> left) {
  int result = 0;
  absl::Time kill_at = absl::InfiniteFuture();
  while (!left.empty()) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended > 0 && std::erase(left, ended) > 0 && result == 0) result = StatusOf(status);
    if (result != 0) kill_at = std::min(kill_at, absl::Now() + kTimeToEnd);
    if (absl::Now() >= kill_at) Kill(left);
    if (ended <= 0) absl::SleepFor(kTick);
  }
  return result;
}

}  // namespace

int RunNodeRanks(const NodeRanks& ranks) {
  // They are the ranks', which end when they have saved.
  for (const int told : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) signal(told, SIG_IGN);
  std::vector<pid_t> processes;
  for (int64_t local_rank = 0; local_rank < ranks.count; ++local_rank) {
    const absl::StatusOr<pid_t> started = StartRank(ranks, local_rank);
    if (started.ok()) {
      processes.push_back(*started);
      continue;
    }
    std::fprintf(stderr, "tunesmith-shim: %s\n", started.status().ToString().c_str());
    Kill(processes);
    (void)WaitForRanks(processes);
    return kNotStarted;
  }
  return WaitForRanks(processes);
}

std::vector<std::string> NodeStarterCommand(const ShimOptions& options, int64_t rank_count) {
  const int64_t count = std::max<int64_t>(1, rank_count / options.node_count);
  return {"/proc/self/exe",
          "ranks",
          "--count",
          StrCat(count),
          "--nodes",
          StrCat(options.node_count),
          "--node",
          StrCat(options.node_index),
          "--master",
          options.master,
          "--log",
          convert::InDirectory(options.run_directory, NodeLogFile(options.node_index)),
          "--"};
}

int NodeStarterMain(int argc, char** argv) {
  CLI::App app("Starts the ranks of a node. Started by tunesmith-shim.");
  NodeRanks ranks;
  int64_t node_count = 1;
  std::string master;
  app.add_option("--count", ranks.count, "Ranks of a node")->required()->check(CLI::PositiveNumber);
  app.add_option("--nodes", node_count, "Nodes of the job")->required()->check(CLI::PositiveNumber);
  app.add_option("--node", ranks.node_index, "Which of them this is, from 0")->required();
  app.add_option("--master", master, "HOST:PORT where rank 0 listens")->required();
  app.add_option("--log", ranks.log_path, "What the ranks write goes there")->required();
  app.add_option("command", ranks.command, "The trainer")->required();
  CLI11_PARSE(app, argc, argv);
  const auto address = ParseHostPort(master);
  if (!address.ok()) {
    std::fprintf(stderr, "tunesmith-shim: --master: %s\n", address.status().ToString().c_str());
    return kNotStarted;
  }
  ranks.master_host = address->host;
  ranks.master_port = address->port;
  ranks.first_rank = ranks.node_index * ranks.count;
  ranks.world_size = node_count * ranks.count;
  return RunNodeRanks(ranks);
}

}  // namespace tunesmith::server
