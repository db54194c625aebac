#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "tests/server/server_process.h"

// A real Slurm of this process's own: munged, slurmctld and one slurmd per node, on loopback ports and with files of its own. Nodes share the
// host and have GPUs that are no GPUs (character devices), so that Slurm hands them out.
namespace tunesmith::server {

struct SlurmClusterOptions {
  int node_count = 4;
  int gpus_per_node = 8;
  std::string configuration;                  // further lines of slurm.conf
  std::map<std::string, std::string> beside;  // further files beside it: name -> text
};

class SlurmCluster {
 public:
  // Why there is none: empty where Slurm is installed, else what installs it.
  static std::string WhyAbsent();

  // Starts it, waits until all nodes are idle, and sets SLURM_CONF in this process's environment. Fails the test where that cannot be done.
  explicit SlurmCluster(const SlurmClusterOptions& options = {});

  // Cancels all jobs, ends the daemons, and kills what jobs have left behind.
  ~SlurmCluster();

  const std::string& directory() const { return scratch_.path(); }
  std::string ConfigurationPath() const;

  // kill -9, and a start that takes up the state that was saved.
  void KillController();
  void StartController();

  // By the administrator's word: a node that is down loses its jobs at once.
  void SetNodeDown(const std::string& node);
  void ResumeNode(const std::string& node);

  // Runs one of Slurm's commands.
  ProcessResult Run(const std::vector<std::string>& arguments) const;

  // `scontrol show job`'s value of a field ("JobState"); empty where there is no such job.
  std::string JobField(const std::string& job_id, const std::string& field) const;

  // The newest job's id; "0": none.
  std::string NewestJob() const;

  // What slurmctld logged.
  std::string ControllerLog() const;

 private:
  void WriteConfiguration(const SlurmClusterOptions& options);
  void StartDaemon(const std::string& name, const std::vector<std::string>& arguments);
  void StopDaemon(const std::string& name);
  void AwaitIdleNodes() const;
  void KillRemains() const;

  ScratchDirectory scratch_;
  int node_count_ = 0;
  int port_ = 0;                          // slurmctld's; nodes have those after it
  std::map<std::string, pid_t> daemons_;  // by name: "munged", "slurmctld", "n0"
};

}  // namespace tunesmith::server
