#include "server/supervisor.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/steady_time.h"
#include "common/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/run_directory.h"
#include "server/fail_point.h"
#include "server/job_states.h"
#include "server/measurements.h"
#include "server/operations/metrics.h"

namespace tunesmith::server {
namespace {

constexpr std::chrono::milliseconds kTick(100);
constexpr std::string_view kHostLauncher = "host";
// Of a long queue so many are looked at for room, and told what they wait for.
constexpr int64_t kQueueWindow = 100;
constexpr absl::Duration kHousekeepingInterval = absl::Minutes(1);
constexpr int64_t kDeletedAtOnce = 500;

std::vector<v1::Job> JobsOf(const std::vector<JobRecord>& records) {
  std::vector<v1::Job> jobs;
  for (const JobRecord& record : records) jobs.push_back(record.job);
  return jobs;
}

bool IsAtLauncher(const JobRecord& record, const Launcher& launcher) {
  return record.job.launcher() == launcher.name();
}

absl::Time ExpectedStart(const v1::Job& job) {
  if (!job.has_expected_start_time()) return absl::InfiniteFuture();
  return absl::FromUnixMicros(
      google::protobuf::util::TimeUtil::TimestampToMicroseconds(job.expected_start_time()));
}

// Estimates of a busy cluster move all the time: a change counts from a tenth of the wait on.
constexpr absl::Duration kLeastMove = absl::Minutes(1);

bool TellsSomethingNew(const v1::Job& job, const AttemptView& view) {
  const absl::Time told = ExpectedStart(job);
  if (view.reason != job.reason()) return true;
  if (told == view.expected_start) return false;
  if (told == absl::InfiniteFuture() || view.expected_start == absl::InfiniteFuture()) return true;
  return absl::AbsDuration(view.expected_start - told) >
         std::max(kLeastMove, (told - absl::Now()) / 10);
}

// A job that ran waits, or runs as a later attempt than we know of.
bool WasStartedAgain(const v1::Job& job, const AttemptView& view) {
  return view.attempt > job.attempt() ||
         (job.state() == v1::JOB_STATE_RUNNING && view.phase == AttemptView::Phase::kWaiting);
}

std::string StartedAgainReason(const v1::Job& job, const AttemptView& view) {
  const bool waits = view.phase == AttemptView::Phase::kWaiting;
  return StrCat("attempt ", job.attempt(), " was stopped or lost; ", job.launcher(),
                waits ? " has queued the job again" : " has started the job again",
                ", to go on from its last checkpoint");
}

// The same status; an error is counted.
absl::Status Counted(const Launcher& launcher, const absl::Status& status) {
  if (status.ok()) return status;
  ProcessMetrics()
      .CounterOf("tunesmith_launcher_errors_total",
                 "What a launcher was asked for and could not do.",
                 {{"launcher", std::string(launcher.name())}})
      .Add();
  return status;
}

}  // namespace

Supervisor::Supervisor(Store& store, std::vector<Launcher*> launchers, Calibrator& calibrator,
                       Drift& drift, Retention retention, PathRoots roots,
                       std::function<void(const std::string& line)> log)
    : store_(store),
      launchers_(std::move(launchers)),
      calibrator_(calibrator),
      drift_(drift),
      retention_(retention),
      roots_(std::move(roots)),
      log_(std::move(log)) {}

void Supervisor::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Supervisor::Stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Supervisor::Wake() {
  if (std::this_thread::get_id() == loop_id_.load()) return;
  std::lock_guard lock(mutex_);
  woken_ = true;
  wake_.notify_all();
}

void Supervisor::Loop() {
  loop_id_ = std::this_thread::get_id();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    Tick();
    lock.lock();
    wake_.wait_for(lock, kTick, [this] { return stopping_ || woken_; });
  }
}

// A trouble that lasts is said once, and again when it has changed.
void Supervisor::Report(const std::string& subject, const absl::Status& status) {
  if (status.ok()) return;
  const std::string problem = status.ToString(absl::StatusToStringMode::kWithNoExtraData);
  const auto last = last_problems_.find(subject);
  if (last == last_problems_.end() || last->second != problem) log_(StrCat(subject, ": ", problem));
  problems_[subject] = problem;
}

void Supervisor::Tick() {
  last_problems_ = std::exchange(problems_, {});
  std::vector<JobRecord> active;
  for (const v1::JobState state : {v1::JOB_STATE_LAUNCHING, v1::JOB_STATE_RUNNING}) {
    Store::Problems problems;
    auto records = store_.JobsInState(state, "", -1, &problems);
    Report("supervision", records.status());
    if (!records.ok()) return;
    for (const auto& [name, problem] : problems) Report(name, problem);
    std::move(records->begin(), records->end(), std::back_inserter(active));
  }
  for (const JobRecord& record : active) {
    if (!HasLauncher(record.job)) Report(record.job.name(), TellOfNoLauncher(record.job));
  }
  Report("calibration", TickCalibrator(active));
  for (Launcher* launcher : launchers_)
    Report(std::string(launcher->name()), Counted(*launcher, TickLauncher(*launcher, active)));
  Report("housekeeping", KeepHouse());
}

bool Supervisor::HasLauncher(const v1::Job& job) const {
  return std::any_of(launchers_.begin(), launchers_.end(),
                     [&](const Launcher* launcher) { return launcher->name() == job.launcher(); });
}

// Where a job runs or waits at a launcher that this server was started without, nobody looks at it. Its error is for the log.
absl::Status Supervisor::TellOfNoLauncher(const v1::Job& job) {
  const std::string problem =
      StrCat("nobody looks at the job: tunesmithd was started without its launcher ",
             job.launcher(), "; name it in --launchers");
  if (job.state() != v1::JOB_STATE_RUNNING && job.reason() != problem)
    TUNESMITH_RETURN_IF_ERROR(MarkWaiting(store_, job.name(), problem).status());
  return absl::FailedPreconditionError(problem);
}

absl::Status Supervisor::TellQueueOfNoLauncher() {
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<JobRecord> queue,
                             store_.JobsInState(v1::JOB_STATE_QUEUED));
  for (const JobRecord& record : queue) {
    if (HasLauncher(record.job)) continue;
    const absl::Status status = TellOfNoLauncher(record.job);
    // Said in the log when it is first said of the job.
    if (record.job.reason() != status.message()) Report(record.job.name(), status);
  }
  return absl::OkStatus();
}

// After an error, jobs go on to wait for what they waited for.
absl::Status Supervisor::TickCalibrator(const std::vector<JobRecord>& active) {
  std::vector<v1::Job> here;
  for (const JobRecord& record : active)
    if (record.job.launcher() == kHostLauncher) here.push_back(record.job);
  TUNESMITH_ASSIGN_OR_RETURN(host_hold_, calibrator_.Tick(here));
  return absl::OkStatus();
}

absl::Status Supervisor::TickLauncher(Launcher& launcher, const std::vector<JobRecord>& active) {
  std::vector<v1::Job> here;
  for (const JobRecord& record : active) {
    if (!IsAtLauncher(record, launcher)) continue;
    here.push_back(record.job);
    // One job's trouble (its directory was removed, say) does not keep the others from being
    // looked at.
    Report(record.job.name(), Counted(launcher, Supervise(launcher, record)));
  }
  // A job that ended in this tick holds its place until the next.
  return LaunchWaiting(launcher, here);
}

absl::Status Supervisor::LaunchWaiting(Launcher& launcher, const std::vector<v1::Job>& active) {
  TUNESMITH_ASSIGN_OR_RETURN(
      const std::vector<JobRecord> queue,
      store_.JobsInState(v1::JOB_STATE_QUEUED, std::string(launcher.name()), kQueueWindow));
  const std::vector<Admission> admissions = Admit(launcher, JobsOf(queue), active);
  for (size_t i = 0; i < queue.size(); ++i) {
    const v1::Job& job = queue[i].job;
    if (admissions[i].admitted) {
      const absl::Status launched = Launch(launcher, job.name(), admissions[i]);
      Report(job.name(), launched);
      // Who may have been waited for is not waited for again before others were looked at.
      if (absl::IsUnavailable(launched)) return absl::OkStatus();
    } else if (admissions[i].reason != job.reason()) {
      Report(job.name(), MarkWaiting(store_, job.name(), admissions[i].reason).status());
    }
  }
  return absl::OkStatus();
}

std::vector<Admission> Supervisor::Admit(Launcher& launcher, const std::vector<v1::Job>& queue,
                                         const std::vector<v1::Job>& active) {
  if (host_hold_.empty() || launcher.name() != kHostLauncher) return launcher.Admit(queue, active);
  return std::vector<Admission>(queue.size(), {.admitted = false, .reason = host_hold_});
}

// The wish is stored before the attempt is started, so that a server that is killed in between
// finds the job in LAUNCHING and asks the launcher whether it was.
absl::Status Supervisor::Launch(Launcher& launcher, const std::string& name,
                                const Admission& admission) {
  TUNESMITH_RETURN_IF_ERROR(MarkLaunching(store_, name, admission.gpu_indices).status());
  FailPoint("before_launch");
  return StartAttempt(launcher, name);
}

absl::Status Supervisor::StartAttempt(Launcher& launcher, const std::string& name) {
  TUNESMITH_ASSIGN_OR_RETURN(const v1::Job job, store_.GetJob(name));
  absl::Status prepared = CheckStillConfined(roots_, job.spec());
  if (prepared.ok()) prepared = PrepareRunDirectory(job);
  const absl::StatusOr<std::string> handle =
      prepared.ok() ? launcher.Start(job) : absl::StatusOr<std::string>(prepared);
  (void)Counted(launcher, handle.status());
  FailPoint("after_launch");
  if (handle.ok()) return KeepHandle(store_, name, *handle).status();
  if (absl::IsUnavailable(handle.status())) return handle.status();  // tried again at the next tick
  return MarkEnded(store_, name,
                   ExitFor(v1::END_CAUSE_NOT_STARTED, std::string(handle.status().message())))
      .status();
}

absl::Status Supervisor::Supervise(Launcher& launcher, const JobRecord& record) {
  const absl::Status status = LookAt(launcher, record);
  // A place that does not answer is what the job waits for.
  if (absl::IsUnavailable(status) && record.job.state() == v1::JOB_STATE_LAUNCHING &&
      record.job.reason() != status.message())
    return MarkWaiting(store_, record.job.name(), std::string(status.message())).status();
  return status;
}

absl::Status Supervisor::LookAt(Launcher& launcher, const JobRecord& record) {
  const std::string& name = record.job.name();
  std::string handle = record.handle;
  if (handle.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(handle, launcher.Find(record.job));
    // What could not be started yet, as where there is no quota, need not be any more.
    if (handle.empty() && record.job.cancel_requested()) {
      TUNESMITH_RETURN_IF_ERROR(ForbidAttempt(record.job));
      return EndAttempt(name, ExitFor(v1::END_CAUSE_CANCELLED, "cancelled before it was started"));
    }
    if (handle.empty()) return StartAttempt(launcher, name);
    TUNESMITH_RETURN_IF_ERROR(KeepHandle(store_, name, handle).status());
  }
  TUNESMITH_ASSIGN_OR_RETURN(const AttemptView view, launcher.Look(record.job, handle));
  return SuperviseView(launcher, record, handle, view);
}

absl::Status Supervisor::SuperviseView(Launcher& launcher, const JobRecord& record,
                                       const std::string& handle, const AttemptView& view) {
  v1::Job job = record.job;
  if (WasStartedAgain(job, view)) {
    // First what the attempt before has said.
    TUNESMITH_RETURN_IF_ERROR(Ingest(job.name(), job.run_directory()));
    TUNESMITH_ASSIGN_OR_RETURN(
        job, MarkStartedAgain(store_, job.name(), std::max(view.attempt, job.attempt()),
                              StartedAgainReason(job, view)));
  }
  if (view.phase == AttemptView::Phase::kWaiting) {
    if (job.state() == v1::JOB_STATE_LAUNCHING && TellsSomethingNew(job, view))
      TUNESMITH_RETURN_IF_ERROR(
          MarkWaiting(store_, job.name(), view.reason, view.expected_start).status());
  } else {
    if (job.state() == v1::JOB_STATE_LAUNCHING && view.phase == AttemptView::Phase::kRunning)
      TUNESMITH_RETURN_IF_ERROR(MarkRunning(store_, job.name()).status());
    // Also after the end: what the trainer wrote last is read before the end is recorded.
    TUNESMITH_RETURN_IF_ERROR(Ingest(job.name(), job.run_directory()));
  }
  FailPoint("running");
  if (view.phase == AttemptView::Phase::kEnded) {
    FailPoint("before_end");
    return EndAttempt(job.name(), view.exit);
  }
  // Told again at every tick, which launchers take for once; so nothing is lost when this server is
  // killed in between.
  return job.cancel_requested() ? launcher.Cancel(job, handle) : absl::OkStatus();
}

absl::Status Supervisor::EndAttempt(const std::string& name, const v1::JobExit& exit) {
  TUNESMITH_ASSIGN_OR_RETURN(const v1::Job job, store_.GetJob(name));
  TUNESMITH_ASSIGN_OR_RETURN(
      const v1::Job ended,
      MarkEnded(store_, name, exit, StepWarningOf(job.plan(), exit.summary())));
  return ended.cause() == v1::END_CAUSE_COMPLETED ? ReportOwnMeasurement(store_, drift_, ended)
                                                  : absl::OkStatus();
}

absl::Status Supervisor::Ingest(const std::string& name, const std::string& run_directory) {
  while (true) {
    TUNESMITH_ASSIGN_OR_RETURN(const JobRecord record, store_.GetRecord(name));
    TUNESMITH_ASSIGN_OR_RETURN(const convert::EventLines read,
                               convert::ReadEventLines(run_directory, record.event_offset));
    if (read.lines.empty() && read.next_offset == record.event_offset) return absl::OkStatus();
    TUNESMITH_RETURN_IF_ERROR(IngestLines(store_, name, read.lines, read.next_offset).status());
  }
}

absl::Status Supervisor::KeepHouse() {
  if (SteadyNow() < next_housekeeping_) return absl::OkStatus();
  next_housekeeping_ = SteadyNow() + kHousekeepingInterval;
  TUNESMITH_RETURN_IF_ERROR(store_.DeleteRequests(absl::Now() - absl::Hours(24) * kRequestIdDays));
  TUNESMITH_RETURN_IF_ERROR(TellQueueOfNoLauncher());
  if (retention_.ended_jobs == absl::InfiniteDuration()) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(
      const int64_t count, store_.DeleteEnded(absl::Now() - retention_.ended_jobs, kDeletedAtOnce));
  // There may be more, and jobs are looked at meanwhile.
  if (count == kDeletedAtOnce) next_housekeeping_ = SteadyNow();
  return absl::OkStatus();
}

}  // namespace tunesmith::server
