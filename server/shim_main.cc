// tunesmith-shim --run-dir DIR --attempt N --grace-seconds S --trainer PATH [--slurm | --cluster-job NAME [--nodes N --master HOST:PORT]]
// tunesmith-shim ranks ...: see rank_starter.h
// tunesmith-shim runner --trainer PATH: see runner.h
// Started by tunesmithd, by Slurm as tunesmithd's batch script, or by Kubernetes as the command of a pod. Exit status 0: the attempt ended (see exit.json);
// 1: it was not run, the reason is on stderr. With --master every node has a shim; which node it is JOB_COMPLETION_INDEX says (Kubernetes). With --slurm and --cluster-job the status is the trainer's, so that the cluster's own records tell a failed job; with
// --cluster-job it is 75 where the trainer has saved and may go on elsewhere, so that a Kubernetes Job does not count it as done.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "common/host_port.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/version.h"
#include "server/node_member.h"
#include "server/rank_starter.h"
#include "server/runner.h"
#include "server/shim.h"

namespace {

using tunesmith::server::ShimOptions;

const char* Variable(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : fallback;
}

// What Slurm tells a batch script about itself.
void TakeFromSlurm(ShimOptions& options) {
  options.cluster_job = Variable("SLURM_JOB_ID", "");
  options.node_count = std::atoll(Variable("SLURM_JOB_NUM_NODES", "1"));
  options.requeue_command = {"scontrol", "requeue", options.cluster_job};
}

int StatusOf(const tunesmith::v1::JobExit& exit, bool under_slurm) {
  if (!under_slurm && tunesmith::server::MayGoOn(exit)) return tunesmith::server::kSavedExitStatus;
  if (exit.exit_code() != 0) return static_cast<int>(exit.exit_code() & 0xff);
  return exit.state() == tunesmith::v1::JOB_STATE_FAILED ? 1 : 0;
}

int Report(const absl::Status& status) {
  std::fprintf(stderr, "tunesmith-shim: %s\n", status.ToString().c_str());
  return 1;
}

// What the nodes' shims need; INVALID_ARGUMENT says what is missing.
absl::Status CheckNodes(const ShimOptions& options) {
  if (options.master.empty()) return absl::OkStatus();
  TUNESMITH_RETURN_IF_ERROR(tunesmith::ParseHostPort(options.master).status());
  if (options.cluster_job.empty())
    return absl::InvalidArgumentError("--master goes with --cluster-job");
  if (options.node_index >= 0 && options.node_index < options.node_count) return absl::OkStatus();
  return absl::InvalidArgumentError(tunesmith::StrCat("this is node ", options.node_index,
                                                      " (JOB_COMPLETION_INDEX) of ",
                                                      options.node_count, " (--nodes)"));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "ranks") == 0)
    return tunesmith::server::NodeStarterMain(argc - 1, argv + 1);
  if (argc > 1 && std::strcmp(argv[1], "runner") == 0)
    return tunesmith::server::RunnerMain(argc - 1, argv + 1);
  CLI::App app("Runs one attempt of one Tunesmith job. Started by tunesmithd.");
  ShimOptions options;
  bool under_slurm = false;
  double fence_seconds = 5;
  double grace_seconds = 60;
  app.add_option("--run-dir", options.run_directory, "The job's run directory")->required();
  app.add_option("--attempt", options.attempt, "Number of the attempt")
      ->required()
      ->check(CLI::PositiveNumber);
  app.add_option("--trainer", options.trainer_path, "Path of tunesmith-trainer")->required();
  app.add_option("--grace-seconds", grace_seconds, "From SIGTERM to SIGKILL")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--slurm", under_slurm, "Run as a batch script of Slurm");
  app.add_option("--cluster-job", options.cluster_job,
                 "Run as the job of a cluster that calls it so")
      ->excludes("--slurm");
  app.add_option("--nodes", options.node_count, "Nodes that the cluster's job has")
      ->check(CLI::PositiveNumber);
  app.add_option("--master", options.master,
                 "HOST:PORT on the first node where ranks meet; every node runs a shim");
  app.add_option("--fence-seconds", fence_seconds,
                 "How long an attempt waits for the end of earlier ones that may still run")
      ->check(CLI::NonNegativeNumber);
  app.set_version_flag("--version", tunesmith::Version());
  CLI11_PARSE(app, argc, argv);
  options.grace = absl::Seconds(grace_seconds);
  close_range(3, ~0u, 0);  // whatever the server had open, its listening socket above all
  options.fence_delay = absl::Seconds(fence_seconds);
  if (under_slurm) TakeFromSlurm(options);
  if (under_slurm && options.cluster_job.empty()) {
    std::fprintf(stderr, "tunesmith-shim: --slurm, and SLURM_JOB_ID is not set\n");
    return 1;
  }
  options.node_index = std::atoll(Variable("JOB_COMPLETION_INDEX", "0"));
  if (const absl::Status status = CheckNodes(options); !status.ok()) return Report(status);
  if (!options.master.empty() && options.node_index > 0) {
    const auto status = tunesmith::server::RunNodeMember(options);
    return status.ok() ? *status : Report(status.status());
  }
  const auto exit = tunesmith::server::RunShim(options);
  if (!exit.ok()) return Report(exit.status());
  return options.cluster_job.empty() ? 0 : StatusOf(*exit, under_slurm);
}
