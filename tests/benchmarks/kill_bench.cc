// Kills server, shim or trainer by SIGKILL at chosen points, starts the server again, and looks whether anything was lost, done twice or
// told wrong. Trainers are stand-ins that keep the trainer's contract and note when they run.
//
//   kill_bench [--slurm | --kubernetes] [--runs 200] [--seed 1] [--verbose]
//
// With --slurm (20 runs) jobs run on a real Slurm of four nodes, started anew for every run, whose controller is killed too, whose nodes go down,
// and which queues jobs again; the two minutes that Slurm then lets a job wait are cut short, as an administrator would.
//
// With --kubernetes (20 runs) jobs run on the tests' API server, by the real kubectl; it ceases to answer for a while, and pods are evicted or lost with their node and
// train on.
//
// A run kills at one point, taken in turn, with amounts drawn from the seed: one to three jobs beside each other, created with request ids
// that are sent again when the server dies before it answers. What failed with its attempt lost or killed is resumed. The last line of stdout
// is one JSON object:
//   run_count             runs
//   lost_job_count        jobs that were accepted and are not there, or never SUCCEEDED with all their steps
//   double_launch_count   jobs of which two trainers ran at once, an attempt was started twice, or one request made two
//   event_fault_count     jobs whose events have a hole or a repetition, or differ from those that their trainers wrote
//   database_fault_count  databases, copies or old rows that were damaged
//   missed_harm_count     runs in which Slurm was not harmed while a job trained, and points at Slurm's nodes or queue after which no job was ever tried again
// Exit status 0 when the last five are 0; 77: Slurm or kubectl is not installed.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "grpcpp/grpcpp.h"
#include "proto/convert/run_directory.h"
#include "server/sqlite.h"
#include "server/store.h"
#include "tests/benchmarks/job_checks.h"
#include "tests/server/kubernetes_cluster.h"
#include "tests/server/server_process.h"
#include "tests/server/slurm_cluster.h"

namespace tunesmith::server {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(40);
constexpr absl::Duration kClusterPatience = absl::Seconds(180);

enum class Victim { kServer, kShim, kTrainer, kMigration, kBackup, kController, kNode, kRequeue };

struct Point {
  const char* name;
  Victim victim;
  int most_passes;  // the process dies at the N-th pass, N drawn from 1 to this
};

constexpr Point kPoints[] = {
    {"before_launch", Victim::kServer, 3},    {"after_launch", Victim::kServer, 3},
    {"running", Victim::kServer, 12},         {"before_end", Victim::kServer, 3},
    {"anywhere", Victim::kServer, 1},         {"shim_claimed", Victim::kShim, 1},
    {"shim_started", Victim::kShim, 1},       {"shim_ended", Victim::kShim, 1},
    {"trainer_running", Victim::kTrainer, 1}, {"trainer_ended", Victim::kTrainer, 1},
    {"migration", Victim::kMigration, 1},     {"migration_backup", Victim::kMigration, 1},
    {"backup", Victim::kBackup, 1},
};

enum class Place { kHost, kSlurm, kKubernetes };

constexpr Point kClusterPoints[] = {
    {"before_launch", Victim::kServer, 3},
    {"after_launch", Victim::kServer, 3},
    {"running", Victim::kServer, 12},
    {"before_end", Victim::kServer, 3},
    {"anywhere", Victim::kServer, 1},
    {"shim_claimed", Victim::kShim, 1},
    {"shim_started", Victim::kShim, 1},
    {"shim_ended", Victim::kShim, 1},
    {"trainer_running", Victim::kTrainer, 1},
    {"controller", Victim::kController, 1},
    {"node", Victim::kNode, 1},
    {"requeue", Victim::kRequeue, 1},
};

struct Faults {
  int64_t lost = 0;
  int64_t doubled = 0;
  int64_t events = 0;
  int64_t database = 0;
  int64_t missed = 0;
  int64_t later_attempts = 0;  // no fault: what the harm has cost
  bool any() const { return lost + doubled + events + database + missed > 0; }
};

bool HarmsCluster(Victim victim) {
  return victim == Victim::kController || victim == Victim::kNode || victim == Victim::kRequeue;
}

// The cluster then queues a job that runs again.
bool QueuesAgain(Victim victim) { return victim == Victim::kNode || victim == Victim::kRequeue; }

class Run {
 public:
  Run(const Point& point, uint64_t seed, bool verbose, Place place)
      : point_(point), random_(seed), verbose_(verbose) {
    if (place == Place::kSlurm) slurm_ = std::make_unique<SlurmCluster>();
    if (place == Place::kKubernetes) kubernetes_ = std::make_unique<KubernetesCluster>();
  }

  Faults Execute() {
    if (point_.victim == Victim::kMigration) LayDownOldDatabase();
    StartWithPoint();
    const int job_count = Draw(1, 3);
    for (int i = 0; i < job_count; ++i) CreateJob(i);
    if (point_.victim == Victim::kBackup) KillABackup();
    const bool on_cluster = slurm_ || kubernetes_;
    const absl::Time deadline = absl::Now() + (on_cluster ? kClusterPatience : kPatience);
    while (absl::Now() < deadline && !AllDone()) {
      absl::SleepFor(absl::Milliseconds(on_cluster ? 100 : 10));
      if (on_cluster) TouchCluster();
    }
    EnsureServer();
    if (HarmsCluster(point_.victim) && !is_harmed_)
      Say(&Faults::missed, "no job trained when the cluster was to be harmed");
    for (const auto& [name, steps] : jobs_) CheckJob(name, steps);
    CheckList();
    server_.reset();
    CheckDatabase(DataDirectory() + "/tunesmith.db");
    return faults_;
  }

 private:
  std::string DataDirectory() const { return scratch_.path() + "/data"; }
  int Draw(int least, int most) { return std::uniform_int_distribution<int>(least, most)(random_); }

  void Say(int64_t Faults::*kind, const std::string& what) {
    ++(faults_.*kind);
    std::fprintf(stderr, "%s: %s\n", point_.name, what.c_str());
  }

  std::map<std::string, std::string> Environment() {
    // What a cluster does takes a second, and is to happen while jobs run.
    std::map<std::string, std::string> environment = {
        {"FAKE_STEP_MILLISECONDS",
         std::to_string(HarmsCluster(point_.victim) ? Draw(100, 250) : Draw(1, 25))}};
    const std::string name = point_.name;
    if (name == "trainer_running") environment["FAKE_CRASH_AT_STEP"] = std::to_string(Draw(1, 3));
    if (name == "trainer_ended") environment["FAKE_CRASH_AT_END"] = "1";
    if ((point_.victim == Victim::kServer && name != "anywhere") || point_.victim == Victim::kShim)
      environment["TUNESMITH_FAIL_POINT"] =
          name + ":" + std::to_string(Draw(1, point_.most_passes));
    return environment;
  }

  void Start(const std::map<std::string, std::string>& environment) {
    std::vector<std::string> flags = {"--cpu-threads", "2"};
    if (slurm_)
      flags = {"--launchers",           "slurm", "--slurm-poll-seconds", "0.2",
               "--slurm-fence-seconds", "2.5"};
    if (kubernetes_) {
      // Pods have the API server's environment, not this server's.
      kubernetes_->Do("set", {{"pod_environment", environment}});
      flags = {"--launchers",
               "kubernetes",
               "--kubernetes-poll-seconds",
               "0.3",
               "--kubernetes-fence-seconds",
               "2.5"};
      for (const std::string& flag : kubernetes_->Flags(scratch_.path())) flags.push_back(flag);
    }
    server_ = std::make_unique<ServerProcess>(DataDirectory(), environment, flags);
  }

  // Harms the cluster once, while a job trains, and does what its administrator would afterwards.
  void TouchCluster() {
    const absl::Time now = absl::Now();
    if (one_trains_ && harm_at_ == absl::InfiniteFuture())
      harm_at_ = now + absl::Milliseconds(Draw(0, 400));
    if (now >= harm_at_ && one_trains_ && !is_harmed_) HarmCluster();
    if (now >= mend_at_) {
      mend_at_ = absl::InfiniteFuture();
      if (slurm_) slurm_->StartController();
      if (kubernetes_) kubernetes_->Resume();
    }
    if (!slurm_ || now < nudge_at_ || mend_at_ != absl::InfiniteFuture()) return;
    nudge_at_ = now + absl::Seconds(2);
    StartRequeuedJobs();
  }

  void HarmCluster() {
    is_harmed_ = true;
    if (kubernetes_) return HarmKubernetes();
    if (point_.victim == Victim::kController) {
      slurm_->KillController();
      mend_at_ = absl::Now() + absl::Milliseconds(Draw(0, 3000));
    } else if (point_.victim == Victim::kNode) {
      const std::string nodes = slurm_->Run({"squeue", "-h", "-t", "R", "-o", "%N"}).output;
      is_harmed_ = !nodes.empty();
      if (is_harmed_) slurm_->SetNodeDown(nodes.substr(0, nodes.find('\n')));
    } else if (point_.victim == Victim::kRequeue) {
      for (const std::string& id : Ids({"-t", "R"}, "")) slurm_->Run({"scontrol", "requeue", id});
    }
  }

  void HarmKubernetes() {
    if (point_.victim == Victim::kController) {
      kubernetes_->Pause();
      mend_at_ = absl::Now() + absl::Milliseconds(Draw(0, 3000));
    } else if (point_.victim == Victim::kNode) {
      kubernetes_->Do("lose_node");
    } else if (point_.victim == Victim::kRequeue) {
      kubernetes_->Do("evict");
    }
  }

  // Numbers of the jobs that squeue lists with these words, of those that wait for a reason where one is given.
  std::vector<std::string> Ids(std::vector<std::string> words, const std::string& reason) {
    words.insert(words.begin(), {"squeue", "-h", "-o", "%i %r"});
    std::istringstream lines(slurm_->Run(words).output);
    std::vector<std::string> ids;
    std::string id, why;
    while (lines >> id && std::getline(lines, why)) {
      if (reason.empty() || why.find(reason) != std::string::npos) ids.push_back(id);
    }
    return ids;
  }

  // Those that have waited since the last look: Slurm refuses to start a job in the second in which it was queued again.
  void StartRequeuedJobs() {
    std::set<std::string> waiting;
    for (const std::string& id : Ids({"-t", "PD"}, "BeginTime")) {
      waiting.insert(id);
      if (requeued_.contains(id))
        slurm_->Run({"scontrol", "update", "jobid=" + id, "StartTime=now"});
    }
    requeued_ = waiting;
  }

  void StartWithPoint() {
    const auto environment = Environment();
    if (point_.victim == Victim::kMigration) {
      const ProcessResult killed =
          RunProcess({BinaryPath("tunesmithd"), "--listen", "127.0.0.1:0", "--data-dir",
                      DataDirectory(), "--trainer", FakeTrainerPath()},
                     {{"TUNESMITH_FAIL_POINT", point_.name}});
      if (killed.status != 128 + 9) Say(&Faults::database, "the point was not met");
    }
    Start(environment);
    if (std::string(point_.name) == "anywhere")
      kill_at_ = absl::Now() + absl::Milliseconds(Draw(0, 400));
  }

  // Jobs 1, 2 and 4 of schema 1, which are terminal.
  void LayDownOldDatabase() {
    std::filesystem::create_directories(DataDirectory());
    auto database = Database::Open(DataDirectory() + "/tunesmith.db");
    const bool laid = database.ok() &&
                      database->Execute(Slurp(std::string(SCHEMAS_DIR) + "/schema-1.sql")).ok() &&
                      database
                          ->Execute(
                              "DELETE FROM events WHERE job_id IN (3, 5); "
                              "DELETE FROM jobs WHERE job_id IN (3, 5)")
                          .ok();
    if (!laid) Say(&Faults::database, "the old database was not laid down");
    old_jobs_ = {"jobs/job-1", "jobs/job-2", "jobs/job-4"};
  }

  // The server runs when this returns, without the point at which it died.
  void EnsureServer() {
    if (absl::Now() >= kill_at_) {
      kill_at_ = absl::InfiniteFuture();
      server_->Kill();
    }
    if (!server_->HasEnded()) return;
    absl::SleepFor(absl::Milliseconds(Draw(0, 2) * 100));
    Start({});
  }

  void CreateJob(int index) {
    const int64_t steps = HarmsCluster(point_.victim) ? Draw(12, 24) : Draw(3, 12);
    v1::CreateJobRequest request = TestJob(scratch_, steps);
    request.mutable_spec()->set_thread_count(1);
    request.mutable_spec()->set_checkpoint_every_step_count(Draw(1, 4));
    request.set_request_id("request-" + std::to_string(index));
    const absl::Time deadline = absl::Now() + kPatience;
    while (absl::Now() < deadline) {
      EnsureServer();
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
      v1::CreateJobResponse response;
      const grpc::Status status = server_->jobs().CreateJob(&context, request, &response);
      if (status.ok()) {
        jobs_[response.job().name()] = steps;
        return;
      }
      if (status.error_code() != grpc::StatusCode::UNAVAILABLE) {
        Say(&Faults::lost, "CreateJob: " + status.error_message());
        return;
      }
    }
    Say(&Faults::lost, "CreateJob was not answered");
  }

  std::optional<v1::Job> Get(const std::string& name) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    v1::GetJobRequest request;
    request.set_name(name);
    v1::GetJobResponse response;
    if (!server_->jobs().GetJob(&context, request, &response).ok()) return std::nullopt;
    return response.job();
  }

  // A job whose attempt was lost or killed is resumed, as its user would; the server is restarted first where every shim of it dies.
  bool AllDone() {
    EnsureServer();
    bool done = true;
    one_trains_ = false;
    for (const auto& [name, steps] : jobs_) {
      const std::optional<v1::Job> job = Get(name);
      one_trains_ |= job && job->state() == v1::JOB_STATE_RUNNING && job->progress().step() > 0;
      if (!job || job->state() != v1::JOB_STATE_SUCCEEDED) done = false;
      if (job && job->state() == v1::JOB_STATE_FAILED) Resume(*job);
    }
    return done;
  }

  void Resume(const v1::Job& job) {
    if (job.cause() != v1::END_CAUSE_LOST && job.cause() != v1::END_CAUSE_KILLED &&
        job.cause() != v1::END_CAUSE_NODE_FAILED)
      return;
    if (verbose_) std::fprintf(stderr, "  %s: %s\n", job.name().c_str(), job.reason().c_str());
    if (point_.victim == Victim::kShim && !restarted_) {
      server_->Kill();
      restarted_ = true;
      EnsureServer();
    }
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    v1::ResumeJobRequest request;
    request.set_name(job.name());
    request.set_request_id(job.name() + "-" + std::to_string(job.attempt()));
    v1::ResumeJobResponse response;
    (void)server_->jobs().ResumeJob(&context, request, &response);
  }

  void KillABackup() {
    const std::string copy = scratch_.path() + "/copy.db";
    const std::vector<std::string> command = {BinaryPath("tunesmithd"), "--data-dir",
                                              DataDirectory(), "--backup", copy};
    const ProcessResult killed = RunProcess(command, {{"TUNESMITH_FAIL_POINT", "backup"}});
    if (killed.status != 128 + 9 || std::filesystem::exists(copy))
      Say(&Faults::database, "a copy that was broken off has its name");
    if (RunProcess(command).status != 0) Say(&Faults::database, "no copy after one broke off");
    CheckDatabase(copy);
  }

  void CheckJob(const std::string& name, int64_t steps) {
    const std::optional<v1::Job> job = Get(name);
    if (!job || job->state() != v1::JOB_STATE_SUCCEEDED || job->summary().step() != steps) {
      Say(&Faults::lost, name + ": " + (job ? job->ShortDebugString().substr(0, 300) : "is gone"));
      return;
    }
    faults_.later_attempts += job->attempt() - 1;
    if (const std::string fault = DoubleStartOf(*job); !fault.empty()) Say(&Faults::doubled, fault);
    if (const std::string fault = EventFaultOf(*server_, *job); !fault.empty())
      Say(&Faults::events, fault);
  }

  // One request makes one job, and what was there before still is.
  void CheckList() {
    grpc::ClientContext context;
    v1::ListJobsResponse response;
    if (!server_->jobs().ListJobs(&context, v1::ListJobsRequest(), &response).ok())
      return Say(&Faults::lost, "ListJobs fails");
    std::set<std::string> expected = old_jobs_;
    for (const auto& [name, steps] : jobs_) expected.insert(name);
    std::set<std::string> found;
    for (const v1::Job& job : response.jobs()) found.insert(job.name());
    if (found.size() > expected.size()) Say(&Faults::doubled, "a request made two jobs");
    if (!std::includes(found.begin(), found.end(), expected.begin(), expected.end()))
      Say(&Faults::lost, "a job is not listed");
  }

  void CheckDatabase(const std::string& path) {
    auto database = Database::Open(path, OpenMode::kReadWrite);
    const absl::Status status = database.ok() ? database->CheckIntegrity() : database.status();
    if (!status.ok()) Say(&Faults::database, status.ToString());
  }

  const Point& point_;
  std::mt19937_64 random_;
  const bool verbose_;
  ScratchDirectory scratch_;
  std::unique_ptr<SlurmCluster> slurm_;
  std::unique_ptr<KubernetesCluster> kubernetes_;
  bool one_trains_ = false;  // when it was last looked
  absl::Time harm_at_ = absl::InfiniteFuture();
  bool is_harmed_ = false;
  absl::Time mend_at_ = absl::InfiniteFuture();
  absl::Time nudge_at_ = absl::InfinitePast();
  std::set<std::string> requeued_;  // jobs of Slurm that waited for their begin time
  std::unique_ptr<ServerProcess> server_;
  std::map<std::string, int64_t> jobs_;  // name -> steps, of those that were accepted
  std::set<std::string> old_jobs_;
  absl::Time kill_at_ = absl::InfiniteFuture();
  bool restarted_ = false;
  Faults faults_;
};

int Main(int64_t run_count, uint64_t seed, bool verbose, Place place) {
  const std::span<const Point> points = place == Place::kHost
                                            ? std::span<const Point>(kPoints)
                                            : std::span<const Point>(kClusterPoints);
  Faults all;
  struct Count {
    int64_t runs = 0;
    int64_t later_attempts = 0;
  };
  std::map<std::string, Count> by_point;
  for (int64_t i = 0; i < run_count; ++i) {
    const Point& point = points[static_cast<size_t>(i) % points.size()];
    if (verbose) std::fprintf(stderr, "run %lld: %s\n", static_cast<long long>(i), point.name);
    const Faults faults = Run(point, seed + static_cast<uint64_t>(i), verbose, place).Execute();
    if (faults.any()) std::fprintf(stderr, "run %lld has faults\n", static_cast<long long>(i));
    all.lost += faults.lost;
    all.doubled += faults.doubled;
    all.events += faults.events;
    all.database += faults.database;
    all.missed += faults.missed;
    ++by_point[point.name].runs;
    by_point[point.name].later_attempts += faults.later_attempts;
  }
  for (const Point& point : points) {
    if (!QueuesAgain(point.victim) || by_point[point.name].runs == 0 ||
        by_point[point.name].later_attempts > 0)
      continue;
    std::fprintf(stderr, "%s: no job was tried again\n", point.name);
    ++all.missed;
  }
  for (const auto& [name, count] : by_point)
    std::printf("%-18s %4lld runs, %4lld later attempts\n", name.c_str(),
                static_cast<long long>(count.runs), static_cast<long long>(count.later_attempts));
  std::printf(
      "{\"run_count\": %lld, \"lost_job_count\": %lld, \"double_launch_count\": %lld, "
      "\"event_fault_count\": %lld, \"database_fault_count\": %lld, \"missed_harm_count\": %lld, "
      "\"seed\": %llu}\n",
      static_cast<long long>(run_count), static_cast<long long>(all.lost),
      static_cast<long long>(all.doubled), static_cast<long long>(all.events),
      static_cast<long long>(all.database), static_cast<long long>(all.missed),
      static_cast<unsigned long long>(seed));
  return all.any() ? 1 : 0;
}

std::string WhyAbsent(Place place) {
  if (place == Place::kSlurm) return SlurmCluster::WhyAbsent();
  return place == Place::kKubernetes ? KubernetesCluster::WhyAbsent() : "";
}

}  // namespace
}  // namespace tunesmith::server

using tunesmith::server::Place;

// What ctest takes for a test that was skipped.
constexpr int kSkipped = 77;

int main(int argc, char** argv) {
  int64_t runs = 0;
  Place place = Place::kHost;
  uint64_t seed = 1;
  bool verbose = false;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--verbose") {
      verbose = true;
    } else if (flag == "--slurm") {
      place = Place::kSlurm;
    } else if (flag == "--kubernetes") {
      place = Place::kKubernetes;
    } else if (flag == "--runs" && i + 1 < argc) {
      runs = std::atoll(argv[++i]);
    } else if (flag == "--seed" && i + 1 < argc) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else {
      std::fprintf(
          stderr, "usage: kill_bench [--slurm | --kubernetes] [--runs N] [--seed N] [--verbose]\n");
      return 2;
    }
  }
  if (const std::string why = tunesmith::server::WhyAbsent(place); !why.empty()) {
    std::fprintf(stderr, "kill_bench: %s\n", why.c_str());
    return kSkipped;
  }
  if (runs == 0) runs = place == Place::kHost ? 200 : 20;
  return tunesmith::server::Main(runs, seed, verbose, place);
}
