#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/calibrator.h"
#include "server/drift.h"
#include "server/launch/launcher.h"
#include "server/security/path_roots.h"
#include "server/store.h"

// Carries jobs from QUEUED to their end, as many at once as their launchers have room for. One
// thread looks at the store, at the launchers and at the run directories again and again, and acts
// on what it sees; it remembers nothing that it could not see again, so that a server that was
// killed goes on where it stood.
namespace tunesmith::server {

struct Retention {
  absl::Duration ended_jobs = absl::InfiniteDuration();  // from their end to their deletion
};

class Supervisor {
 public:
  // `roots` are those that jobs were created under; `log` takes lines for the server's log. Store, launchers, calibrator, drift and log outlive the
  // supervisor.
  Supervisor(Store& store, std::vector<Launcher*> launchers, Calibrator& calibrator, Drift& drift,
             Retention retention, PathRoots roots,
             std::function<void(const std::string& line)> log);

  ~Supervisor() { Stop(); }

  // Starts the thread, once.
  void Start();

  // Stops the thread. Running jobs go on.
  void Stop();

  // Looks at once instead of at the next tick. Thread-safe. The supervisor's own changes do not
  // wake it.
  void Wake();

 private:
  void Loop();
  void Tick();
  bool HasLauncher(const v1::Job& job) const;
  absl::Status TellOfNoLauncher(const v1::Job& job);
  absl::Status TellQueueOfNoLauncher();
  absl::Status TickCalibrator(const std::vector<JobRecord>& active);
  absl::Status TickLauncher(Launcher& launcher, const std::vector<JobRecord>& active);
  absl::Status LaunchWaiting(Launcher& launcher, const std::vector<v1::Job>& active);
  std::vector<Admission> Admit(Launcher& launcher, const std::vector<v1::Job>& queue,
                               const std::vector<v1::Job>& active);
  absl::Status Launch(Launcher& launcher, const std::string& name, const Admission& admission);
  absl::Status StartAttempt(Launcher& launcher, const std::string& name);
  absl::Status Supervise(Launcher& launcher, const JobRecord& record);
  absl::Status LookAt(Launcher& launcher, const JobRecord& record);
  absl::Status SuperviseView(Launcher& launcher, const JobRecord& record, const std::string& handle,
                             const AttemptView& view);
  absl::Status EndAttempt(const std::string& name, const v1::JobExit& exit);
  absl::Status Ingest(const std::string& name, const std::string& run_directory);
  absl::Status KeepHouse();
  void Report(const std::string& subject, const absl::Status& status);

  Store& store_;
  const std::vector<Launcher*> launchers_;
  Calibrator& calibrator_;
  Drift& drift_;
  const Retention retention_;
  const PathRoots roots_;
  const std::function<void(const std::string& line)> log_;
  std::string host_hold_;  // what jobs of this host wait for; empty: nothing
  // By subject, so that each is said once: those of this tick, and of the one before.
  std::map<std::string, std::string> problems_;
  std::map<std::string, std::string> last_problems_;
  absl::Time next_housekeeping_ = absl::InfinitePast();
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  bool woken_ = false;
  std::thread thread_;
  std::atomic<std::thread::id> loop_id_;
};

}  // namespace tunesmith::server
