// A stand-in for tunesmith-trainer that keeps its contract without training: `run --run-dir DIR` reads plan.json and job.json, appends events,
// touches the heartbeat, saves checkpoints, goes on from the newest one, and writes exit.json. SIGTERM and SIGUSR1 save and end as CANCELLED.
// Started by mpirun as another rank than 0, it sleeps, deaf to signals, until it is killed.
//   FAKE_STEP_MILLISECONDS  time per step, default 5
//   FAKE_CRASH_AT_STEP      the first attempt kills itself by SIGKILL after this step
//   FAKE_IGNORE_SIGTERM     SIGTERM does nothing
//   FAKE_EXIT_CODE          ends at once with this status, without exit.json
//   FAKE_MEASURED_STEP_SECONDS  what it says that a step took
//   FAKE_CRASH_AT_END       the first attempt kills itself when all is done but exit.json
// Files of its own in the run directory tell a test what ran: `starts` has a line per attempt that was started, `visible_gpus` what it was shown, and
// `double_launch` is there if two trainers ever ran at once.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/time/clock.h"
#include "common/file.h"
#include "common/file_lock.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/job_spec.h"
#include "proto/convert/json.h"
#include "proto/convert/plan.h"
#include "proto/convert/run_directory.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace {

namespace convert = tunesmith::convert;
namespace v1 = tunesmith::v1;
using convert::InDirectory;

std::atomic<bool> told_to_stop{false};

int64_t FromEnvironment(const char* name, int64_t fallback) {
  const char* text = std::getenv(name);
  return text ? std::atoll(text) : fallback;
}

int64_t NewestCheckpoint(const std::string& directory) {
  int64_t newest = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(
           InDirectory(directory, convert::kCheckpointsDirectory), error)) {
    newest = std::max<int64_t>(
        newest, std::atoll(entry.path().filename().c_str() + std::string("step-").size()));
  }
  return newest;
}

void SaveCheckpoint(const std::string& directory, int64_t step, convert::EventWriter& events) {
  std::filesystem::create_directories(InDirectory(directory, convert::CheckpointDirectory(step)));
  v1::Event event;
  event.mutable_checkpoint_saved()->set_step(step);
  event.mutable_checkpoint_saved()->set_path(convert::CheckpointDirectory(step));
  (void)events.Append(event);
}

void ReportStep(const std::string& directory, int64_t step, int64_t step_count,
                convert::EventWriter& events) {
  v1::Event event;
  event.mutable_progress()->set_step(step);
  event.mutable_progress()->set_step_count(step_count);
  event.mutable_progress()->set_loss(4.0 - 0.01 * static_cast<double>(step));
  (void)events.Append(event);
  v1::Heartbeat heartbeat;
  heartbeat.set_step(step);
  (void)convert::WriteJsonFile(InDirectory(directory, convert::kHeartbeatFile), heartbeat);
}

int End(const std::string& directory, int64_t step, v1::JobState state,
        convert::EventWriter& events) {
  v1::JobExit exit;
  exit.set_state(state);
  exit.set_last_step(step);
  if (state == v1::JOB_STATE_SUCCEEDED) {
    exit.mutable_summary()->set_step(step);
    if (const char* seconds = std::getenv("FAKE_MEASURED_STEP_SECONDS"))
      exit.mutable_summary()->set_measured_step_seconds(std::atof(seconds));
    exit.mutable_summary()->set_adapter_dir(InDirectory(directory, convert::kOutputDirectory));
    v1::Event event;
    *event.mutable_finished() = exit.summary();
    (void)events.Append(event);
    if (FromEnvironment("FAKE_CRASH_AT_END", 0) != 0 &&
        FromEnvironment("TUNESMITH_ATTEMPT", 0) == 1)
      kill(getpid(), SIGKILL);
  } else {
    exit.set_reason("interrupted");
  }
  (void)convert::WriteJsonFile(InDirectory(directory, convert::kExitFile), exit);
  return 0;
}

// The kernel lets the lock go when the process ends, however it ends.
void NoteStart(const std::string& directory) {
  static const auto lock = tunesmith::FileLock::Take(directory + "/trainer.lock");
  if (!lock.ok()) (void)tunesmith::AppendLine(directory + "/double_launch", "two trainers at once");
  if (const char* gpus = std::getenv("CUDA_VISIBLE_DEVICES"); gpus != nullptr)
    (void)tunesmith::AppendLine(directory + "/visible_gpus", gpus);
  (void)tunesmith::AppendLine(directory + "/starts",
                              std::to_string(FromEnvironment("TUNESMITH_ATTEMPT", 0)));
}

int Train(const std::string& directory, const v1::JobSpec& spec) {
  NoteStart(directory);
  auto events = convert::EventWriter::Open(directory);
  const int64_t step_count = spec.training().step_count();
  const int64_t crash_step = FromEnvironment("FAKE_CRASH_AT_STEP", 0);
  const bool crashes = crash_step > 0 && FromEnvironment("TUNESMITH_ATTEMPT", 0) == 1;
  for (int64_t step = NewestCheckpoint(directory) + 1; step <= step_count; ++step) {
    absl::SleepFor(absl::Milliseconds(FromEnvironment("FAKE_STEP_MILLISECONDS", 5)));
    ReportStep(directory, step, step_count, **events);
    std::printf("step %lld\n", static_cast<long long>(step));
    std::fflush(stdout);
    const bool stop = told_to_stop;
    if (stop || (spec.checkpoint_every_step_count() > 0 &&
                 step % spec.checkpoint_every_step_count() == 0)) {
      SaveCheckpoint(directory, step, **events);
    }
    if (stop) return End(directory, step, v1::JOB_STATE_CANCELLED, **events);
    if (crashes && step == crash_step) kill(getpid(), SIGKILL);
  }
  return End(directory, step_count, v1::JOB_STATE_SUCCEEDED, **events);
}

[[noreturn]] void Sleep() {
  for (const int signal_number : {SIGTERM, SIGUSR1, SIGINT, SIGHUP}) signal(signal_number, SIG_IGN);
  while (true) pause();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "run" && std::string(argv[2]) == "--run-dir") {
    const std::string directory = argv[3];
    if (const int64_t code = FromEnvironment("FAKE_EXIT_CODE", 0); code != 0)
      return static_cast<int>(code);
    if (FromEnvironment("FAKE_IGNORE_SIGTERM", 0) != 0) {
      signal(SIGTERM, SIG_IGN);
    } else {
      for (const int stop : {SIGTERM, SIGUSR1}) signal(stop, [](int) { told_to_stop = true; });
    }
    if (FromEnvironment("OMPI_COMM_WORLD_RANK", 0) > 0) Sleep();
    const auto plan = convert::ReadPlanFile(InDirectory(directory, convert::kPlanFile));
    const auto spec = convert::ReadJobSpecFile(InDirectory(directory, convert::kJobSpecFile));
    if (plan.ok() && spec.ok()) return Train(directory, *spec);
    std::fprintf(stderr, "%s\n%s\n", plan.status().ToString().c_str(),
                 spec.status().ToString().c_str());
    return 1;
  }
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "evaluate" || verb == "convert") {
    std::string all;
    for (int i = 2; i < argc; ++i) all += std::string(argv[i]) + " ";
    std::printf("{\"arguments\": \"%s\"}\n", all.c_str());
    return 0;
  }
  std::fprintf(stderr, "usage: fake_trainer run --run-dir DIR\n");
  return 2;
}
