#include "server/calibrator.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <utility>

#include "common/file.h"
#include "common/file_lock.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/message_differencer.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/json.h"
#include "proto/convert/prediction.h"
#include "proto/convert/run_directory.h"
#include "server/fail_point.h"
#include "server/process.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;
using google::protobuf::util::TimeUtil;

// Programs that are run whatever the budget may take longer than it, on a large model much longer. A profiler that hangs is ended after this.
constexpr double kPatienceFactor = 3;
constexpr std::chrono::minutes kPatience(30);

double BudgetSeconds(const v1::CalibrationRun& run) {
  return 1e-9 * static_cast<double>(TimeUtil::DurationToNanoseconds(run.spec().budget()));
}

std::string NamesOf(const std::vector<v1::Job>& jobs) {
  if (jobs.size() == 1) return jobs.front().name();
  return StrCat(jobs.front().name(), " and ", jobs.size() - 1, " more");
}

absl::StatusOr<v1::CalibrationProgress> ReadProgress(const std::string& directory) {
  v1::CalibrationProgress progress;
  TUNESMITH_RETURN_IF_ERROR(convert::ReadJsonFile(InDirectory(directory, convert::kProgressFile),
                                                  &progress, convert::UnknownFields::kIgnore));
  return progress;
}

}  // namespace

std::string Calibrator::DirectoryOf(const v1::CalibrationRun& run) const {
  const std::string id = run.name().substr(run.name().rfind('/') + 1);
  return StrCat(InDirectory(options_.data_directory, convert::kCalibrationRunsDirectory), "/run-",
                id);
}

absl::StatusOr<std::string> Calibrator::Tick(const std::vector<v1::Job>& host_jobs) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<v1::CalibrationRun> active, runs_.Active());
  if (active.empty()) return "";
  const v1::CalibrationRun& first = active.front();
  for (size_t i = 1; i < active.size(); ++i)
    TUNESMITH_RETURN_IF_ERROR(Say(active[i], StrCat("waits for ", first.name(), " to end")));
  if (first.state() == v1::CALIBRATION_RUN_STATE_RUNNING) {
    TUNESMITH_RETURN_IF_ERROR(Supervise(first));
  } else if (host_jobs.empty()) {
    TUNESMITH_RETURN_IF_ERROR(Begin(first));
  } else {
    TUNESMITH_RETURN_IF_ERROR(Say(first, StrCat("waits for ", NamesOf(host_jobs), " to end")));
  }
  return StrCat("waits for ", first.name(), ", which measures this host");
}

// The wish is stored before the profiler is started: a server that is killed in between starts it then, and of two profilers of one run the second ends at once.
absl::Status Calibrator::Begin(const v1::CalibrationRun& run) {
  TUNESMITH_RETURN_IF_ERROR(runs_
                                .Update(run.name(),
                                        [](v1::CalibrationRun& changed) {
                                          changed.set_state(v1::CALIBRATION_RUN_STATE_RUNNING);
                                          changed.clear_reason();
                                          *changed.mutable_start_time() =
                                              TimeUtil::GetCurrentTime();
                                          return absl::OkStatus();
                                        })
                                .status());
  FailPoint("before_calibration");
  TUNESMITH_RETURN_IF_ERROR(Spawn(run));
  FailPoint("after_calibration_start");
  return absl::OkStatus();
}

absl::Status Calibrator::Spawn(const v1::CalibrationRun& run) {
  const std::string directory = DirectoryOf(run);
  const v1::CalibrationSpec& spec = run.spec();
  SpawnOptions options{
      .arguments = {options_.profiler_path, "--data-dir", options_.data_directory, "--run-dir",
                    directory, "--device", spec.device(), "--model", spec.model_name(), "--context",
                    StrCat(spec.context()), "--threads", StrCat(spec.thread_count()), "--budget",
                    StrCat(BudgetSeconds(run), "s")},
      .environment = {},
      .output_path = InDirectory(directory, convert::kProfilerLogFile),
      .new_session = true};
  if (!spec.hardware_name().empty()) {
    options.arguments.insert(options.arguments.end(), {"--hardware", spec.hardware_name()});
  }
  // Runs that an older server was asked for say none.
  if (spec.precision() != v1::PRECISION_UNSPECIFIED)
    options.arguments.insert(
        options.arguments.end(),
        {"--precision", spec.precision() == v1::PRECISION_BF16 ? "bf16" : "fp32"});
  if (spec.allow_noise()) options.arguments.push_back("--allow-noise");
  absl::Status status = MakeDirectories(directory);
  if (status.ok()) {
    const absl::StatusOr<pid_t> pid = server::Spawn(options);
    status = pid.status();
    if (pid.ok()) {
      child_ = *pid;
      child_run_ = run.name();
    }
  }
  if (status.ok()) return absl::OkStatus();
  return End(run, v1::CALIBRATION_RUN_STATE_FAILED, std::string(status.message()));
}

absl::Status Calibrator::Supervise(const v1::CalibrationRun& run) {
  if (watched_run_ != run.name()) {
    watched_run_ = run.name();
    watched_since_ = Clock::now();
    stop_asked_.reset();
  }
  const std::string directory = DirectoryOf(run);
  const bool child_alive = IsChildAlive() && child_run_ == run.name();
  // In this order: a profiler that has let go has told all it will.
  const bool held = IsFileLocked(InDirectory(directory, convert::kRunLockFile));
  const absl::StatusOr<v1::CalibrationProgress> progress = ReadProgress(directory);
  if (!progress.ok()) return held || child_alive ? absl::OkStatus() : LookAtUnclaimed(run);
  if (!google::protobuf::util::MessageDifferencer::Equals(*progress, run.progress()))
    TUNESMITH_RETURN_IF_ERROR(runs_
                                  .Update(run.name(),
                                          [&](v1::CalibrationRun& changed) {
                                            *changed.mutable_progress() = *progress;
                                            return absl::OkStatus();
                                          })
                                  .status());
  if (!held) return EndBy(run, *progress);
  return run.cancel_requested() || IsOverdue(run) ? Stop(run, progress->process_id())
                                                  : absl::OkStatus();
}

// No profiler has claimed the run's directory, and none is about to.
absl::Status Calibrator::LookAtUnclaimed(const v1::CalibrationRun& run) {
  if (run.cancel_requested())
    return End(run, v1::CALIBRATION_RUN_STATE_CANCELLED, "cancelled before it measured");
  if (child_run_ != run.name()) return Spawn(run);
  return End(run, v1::CALIBRATION_RUN_STATE_FAILED,
             StrCat("tunesmith-profiler ended before it measured; see ",
                    InDirectory(DirectoryOf(run), convert::kProfilerLogFile)));
}

bool Calibrator::IsOverdue(const v1::CalibrationRun& run) {
  return Clock::now() - watched_since_ >
         std::chrono::duration<double>(kPatienceFactor * BudgetSeconds(run)) + kPatience;
}

// The lock is held, so the process that wrote its number there lives. Told again at every tick, which a process takes for once.
absl::Status Calibrator::Stop(const v1::CalibrationRun& run, int64_t process_id) {
  if (!stop_asked_) stop_asked_ = Clock::now();
  const bool patient = Clock::now() - *stop_asked_ < absl::ToChronoNanoseconds(options_.grace);
  if (process_id > 0) kill(static_cast<pid_t>(process_id), patient ? SIGTERM : SIGKILL);
  if (run.cancel_requested()) return absl::OkStatus();
  return Say(run, StrCat("stopped, as it took longer than ", kPatienceFactor,
                         " times its budget and ", kPatience.count(), " minutes"));
}

absl::Status Calibrator::EndBy(const v1::CalibrationRun& run,
                               const v1::CalibrationProgress& progress) {
  if (!progress.calibration_id().empty()) return Succeed(run, progress.calibration_id());
  const std::string kept = StrCat("; ", progress.done_probe_count(), " of ", progress.probe_count(),
                                  " programs are kept for the next run");
  if (run.cancel_requested())
    return End(run, v1::CALIBRATION_RUN_STATE_CANCELLED, StrCat("cancelled", kept));
  if (!progress.error().empty())
    return End(run, v1::CALIBRATION_RUN_STATE_FAILED, progress.error());
  return End(
      run, v1::CALIBRATION_RUN_STATE_FAILED,
      StrCat(run.reason().empty() ? StrCat("tunesmith-profiler (process ", progress.process_id(),
                                           ") was killed, most often for want of memory")
                                  : run.reason(),
             kept));
}

absl::Status Calibrator::Succeed(const v1::CalibrationRun& run, const std::string& id) {
  const std::string path = StrCat(
      InDirectory(options_.data_directory, convert::kCalibrationsDirectory), "/", id, ".json");
  // What was removed since is no error of the run.
  if (const auto calibration = convert::ReadCalibrationFile(path); calibration.ok())
    TUNESMITH_RETURN_IF_ERROR(history_.Add(convert::ToProto(*calibration), run.name()));
  return runs_
      .Update(run.name(),
              [&](v1::CalibrationRun& ended) {
                EndRun(ended, v1::CALIBRATION_RUN_STATE_SUCCEEDED, "");
                ended.set_calibration(CalibrationName(id));
                return absl::OkStatus();
              })
      .status();
}

absl::Status Calibrator::Say(const v1::CalibrationRun& run, const std::string& reason) {
  if (run.reason() == reason) return absl::OkStatus();
  return runs_
      .Update(run.name(),
              [&](v1::CalibrationRun& changed) {
                changed.set_reason(reason);
                return absl::OkStatus();
              })
      .status();
}

absl::Status Calibrator::End(const v1::CalibrationRun& run, v1::CalibrationRunState state,
                             const std::string& reason) {
  return runs_
      .Update(run.name(),
              [&](v1::CalibrationRun& ended) {
                EndRun(ended, state, reason);
                return absl::OkStatus();
              })
      .status();
}

bool Calibrator::IsChildAlive() {
  if (child_ > 0 && waitpid(child_, nullptr, WNOHANG) != 0) child_ = 0;
  return child_ > 0;
}

}  // namespace tunesmith::server
