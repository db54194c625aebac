#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/launch/host_launcher.h"
#include "server/store.h"
#include "tunesmith/v1/run_directory.pb.h"

// Carries jobs from QUEUED to their end, one at a time on this host. One thread looks at the store
// and at the run directories again and again, and acts on what it sees; it remembers nothing that
// it could not see again, so that a server that was killed goes on where it stood.
namespace tunesmith::server {

class Supervisor {
 public:
  // `log` takes lines for the server's log. Store and log outlive the supervisor.
  Supervisor(Store& store, HostLauncherOptions launcher,
             std::function<void(const std::string& line)> log);

  ~Supervisor() { Stop(); }

  // Starts the thread, once.
  void Start();

  // Stops the thread. Running jobs go on.
  void Stop();

  // Looks at once instead of at the next tick. Thread-safe.
  void Wake();

 private:
  // What the run directory and the process table say of a job's present attempt.
  struct Sight {
    bool claimed = false;     // attempt-N exists
    bool has_handle = false;  // shim.json is of this attempt
    bool shim_alive = false;
    bool has_exit = false;  // exit.json is of this attempt
    v1::ShimHandle handle;
    v1::JobExit exit;
    std::string exit_problem;  // why there is no exit, where there is none
  };

  void Loop();
  absl::Status Tick();
  absl::Status LaunchNext();
  absl::Status Launch(const std::string& name);
  absl::Status Supervise(const v1::Job& job);
  absl::Status SuperviseUnclaimed(const v1::Job& job, const Sight& sight);
  absl::Status SuperviseGone(const v1::Job& job, const Sight& sight);
  absl::Status Ingest(const std::string& name, const std::string& run_directory);
  static Sight Look(const v1::Job& job);
  void ReapShims();
  bool IsOurShimAlive(const std::string& name);

  Store& store_;
  const HostLauncherOptions launcher_;
  const std::function<void(const std::string& line)> log_;
  std::map<std::string, pid_t> shims_;  // started by this process, by job; 0 once reaped
  std::map<std::string, absl::Time> waiting_since_;  // jobs whose shim has not shown itself
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  bool woken_ = false;
  std::thread thread_;
};

}  // namespace tunesmith::server
