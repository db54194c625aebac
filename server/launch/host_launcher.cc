#include "server/launch/host_launcher.h"

#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/error_info.h"
#include "server/launch/host_memory.h"
#include "server/launch/runner_client.h"
#include "server/launch/sight.h"
#include "server/process.h"

namespace tunesmith::server {
namespace {

using convert::InDirectory;

// A claim of an earlier version is an empty file; its shim.json follows within milliseconds.
constexpr absl::Duration kOldShimStartLimit = absl::Seconds(20);

std::string ShimLog(const v1::Job& job) {
  return StrCat("; see ", InDirectory(job.run_directory(), convert::kShimLogFile));
}

// GPUs that were chosen for the job are all that its trainer sees; empty: whatever there is.
std::vector<int64_t> VisibleGpus(const v1::Job& job) {
  if (job.spec().device() != "cuda:0") return {};
  return {job.claim().gpu_indices().begin(), job.claim().gpu_indices().end()};
}

std::vector<std::string> ShimEnvironment(const v1::Job& job) {
  const std::vector<int64_t> gpus = VisibleGpus(job);
  if (gpus.empty()) return {};
  return {StrCat("CUDA_VISIBLE_DEVICES=", absl::StrJoin(gpus, ","))};
}

v1::RunAttemptRequest RunnerRequest(const v1::Job& job, absl::Duration grace) {
  v1::RunAttemptRequest request;
  request.set_run_directory(job.run_directory());
  request.set_attempt(std::max<int64_t>(1, job.attempt()));
  request.set_grace_seconds(absl::ToDoubleSeconds(grace));
  for (const int64_t index : VisibleGpus(job)) request.add_gpu_indices(index);
  return request;
}

std::string HandleOf(int64_t pid, int64_t start_ticks) { return StrCat(pid, ":", start_ticks); }

bool IsHandleAlive(const std::string& handle) {
  const std::vector<std::string> parts = absl::StrSplit(handle, ':');
  int64_t pid = 0;
  int64_t ticks = 0;
  return parts.size() == 2 && absl::SimpleAtoi(parts[0], &pid) &&
         absl::SimpleAtoi(parts[1], &ticks) && IsAlive(pid, ticks);
}

absl::Duration AgeOfClaim(const v1::Job& job) {
  struct stat info = {};
  const std::string path = InDirectory(job.run_directory(), convert::AttemptFile(job.attempt()));
  if (stat(path.c_str(), &info) != 0) return absl::ZeroDuration();  // it is looked at again
  return absl::Now() - absl::TimeFromTimespec(info.st_mtim);
}

AttemptView Ended(v1::EndCause cause, const std::string& reason) {
  return EndedView(ExitFor(cause, reason));
}

// Nobody claimed the attempt: its shim is about to, or ended before it could.
AttemptView ViewUnclaimed(const v1::Job& job, bool shim_was_alive) {
  if (shim_was_alive) return WaitingView("");
  return Ended(v1::END_CAUSE_NOT_STARTED,
               StrCat("tunesmith-shim did not start attempt ", job.attempt(), ShimLog(job)));
}

// The shim is gone.
AttemptView ViewGone(const v1::Job& job, const Sight& sight) {
  // The kernel ends trainers with their shim; one of an earlier version may have stayed.
  if (IsAlive(sight.shim.trainer_pid(), sight.shim.trainer_start_ticks())) {
    SignalGroup(sight.shim.trainer_pid(), sight.shim.trainer_start_ticks(), SIGKILL);
    return RunningView();
  }
  if (sight.exit) return EndedView(*sight.exit);
  return Ended(
      v1::END_CAUSE_LOST,
      StrCat("lost: tunesmith-shim (process ", sight.shim.pid(),
             ") is gone, killed or ended by a restart of the host, and left no good exit.json",
             sight.exit_problem.empty() ? "" : StrCat(": ", sight.exit_problem), ShimLog(job)));
}

int64_t CountGpuFiles() {
  std::error_code error;
  int64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/dev", error)) {
    constexpr std::string_view kPrefix = "nvidia";
    const std::string name = entry.path().filename().string();
    int64_t index = 0;
    if (name.starts_with(kPrefix) && absl::SimpleAtoi(name.substr(kPrefix.size()), &index)) ++count;
  }
  return count;
}

// The N of "cuda:<N>".
int64_t GpuIndex(const std::string& device) {
  int64_t index = 0;
  (void)absl::SimpleAtoi(device.substr(device.find(':') + 1), &index);
  return index;
}

absl::Status CheckGpus(const HostCapacity& capacity, int64_t wanted, const std::string& device) {
  const int64_t index = GpuIndex(device);
  if (wanted > capacity.gpu_count || index >= capacity.gpu_count) {
    return WithReason(absl::FailedPreconditionError(
                          StrCat("the job wants ", wanted, wanted == 1 ? " GPU" : " GPUs", " from ",
                                 device, " on, and this host has ", capacity.gpu_count,
                                 "; plan for fewer, or start tunesmithd with --gpu-count")),
                      "NOT_ENOUGH_DEVICES",
                      {{"wanted", StrCat(wanted)}, {"available", StrCat(capacity.gpu_count)}});
  }
  if (index > 0 && wanted > 1) {
    return WithReason(absl::FailedPreconditionError(
                          StrCat("spec.device is \"", device, "\" and the plan wants ", wanted,
                                 " devices; give \"cuda:0\", which means any that are free")),
                      "DEVICES_CONTRADICT");
  }
  return absl::OkStatus();
}

}  // namespace

HostCapacity CapacityOfThisHost() {
  struct sysinfo info = {};
  sysinfo(&info);
  return {.gpu_count = CountGpuFiles(),
          .cpu_thread_count = std::max<int64_t>(1, std::thread::hardware_concurrency()),
          .host_memory_bytes = static_cast<int64_t>(info.totalram) * info.mem_unit};
}

int64_t GpusOfTheDriver() {
  std::error_code error;
  const std::filesystem::directory_iterator gpus("/proc/driver/nvidia/gpus", error);
  return std::distance(begin(gpus), end(gpus));
}

HostLauncher::~HostLauncher() { ReapShims(); }

absl::StatusOr<v1::ResourceClaim> HostLauncher::Check(const v1::Job& job) const {
  const v1::Plan& plan = job.plan();
  const v1::JobSpec& spec = job.spec();
  v1::ResourceClaim claim;
  const int64_t count = std::max<int64_t>(1, plan.inputs().devices().device_count());
  claim.set_host_memory_bytes(HostBytesOf(plan, spec, count));
  if (spec.device() == "cpu") {
    claim.set_cpu_thread_count(spec.thread_count() > 0 ? spec.thread_count()
                                                       : options_.capacity.cpu_thread_count);
    return claim;
  }
  TUNESMITH_RETURN_IF_ERROR(CheckGpus(options_.capacity, count, spec.device()));
  claim.set_gpu_count(count);
  if (const int64_t index = GpuIndex(spec.device()); index > 0) claim.add_gpu_indices(index);
  return claim;
}

// Word by word what is started, or whom a runner is asked of and how.
std::vector<std::string> HostLauncher::CommandOf(const v1::Job& job) const {
  if (!options_.runner_socket.empty())
    return {StrCat("unix:", options_.runner_socket),
            convert::ToJson(RunnerRequest(job, options_.grace), convert::JsonLayout::kOneLine)};
  return ShimCommand(options_.shim_path, options_.trainer_path, options_.grace, job);
}

absl::StatusOr<v1::RenderedSubmission> HostLauncher::Render(const v1::Job& job) const {
  v1::RenderedSubmission submission;
  submission.set_launcher(std::string(name()));
  for (const std::string& argument : CommandOf(job)) submission.add_arguments(argument);
  if (!options_.runner_socket.empty())
    submission.set_outlook("the runner there starts it, with its own trainer");
  AddJobFiles(job, submission);
  return submission;
}

v1::Cluster HostLauncher::Describe(const std::vector<v1::Job>& active) const {
  const HostCapacity& capacity = options_.capacity;
  const FreeSlots free = FreeOf(capacity, active);
  v1::Cluster cluster = ClusterOf(name(), "the host that tunesmithd runs on");
  cluster.set_gpu_count(capacity.gpu_count);
  for (size_t i = 0; i < free.gpu_is_free.size(); ++i) {
    if (free.gpu_is_free[i]) cluster.add_free_gpu_indices(static_cast<int64_t>(i));
  }
  cluster.set_free_gpu_count(cluster.free_gpu_indices_size());
  cluster.set_cpu_thread_count(capacity.cpu_thread_count);
  cluster.set_free_cpu_thread_count(free.cpu_thread_count);
  cluster.set_host_memory_bytes(capacity.host_memory_bytes);
  cluster.set_free_host_memory_bytes(free.host_memory_bytes);
  return cluster;
}

std::vector<Admission> HostLauncher::Admit(const std::vector<v1::Job>& queue,
                                           const std::vector<v1::Job>& active) {
  return AdmitInOrder(options_.capacity, queue, active);
}

absl::StatusOr<std::string> HostLauncher::StartByRunner(const v1::Job& job) const {
  TUNESMITH_ASSIGN_OR_RETURN(const v1::RunAttemptReply reply,
                             AskRunner(options_.runner_socket, RunnerRequest(job, options_.grace)));
  return HandleOf(reply.pid(), reply.start_ticks());
}

absl::StatusOr<std::string> HostLauncher::Start(const v1::Job& job) {
  if (!options_.runner_socket.empty()) return StartByRunner(job);
  TUNESMITH_ASSIGN_OR_RETURN(
      const pid_t pid,
      Spawn({.arguments = CommandOf(job),
             .environment = ShimEnvironment(job),
             .output_path = InDirectory(job.run_directory(), convert::kShimLogFile),
             .new_session = true}));
  shims_[pid] = job.name();
  // A shim that ended at once has no start time; Look then finds its reason in the run directory.
  return HandleOf(pid, StartTicks(pid).value_or(0));
}

absl::StatusOr<std::string> HostLauncher::Find(const v1::Job& job) {
  TUNESMITH_ASSIGN_OR_RETURN(const Sight sight, SightOf(job.run_directory(), job.attempt()));
  if (!sight.claimed) return "";
  return HandleOf(sight.shim.pid(), sight.shim.start_ticks());
}

absl::StatusOr<AttemptView> HostLauncher::Look(const v1::Job& job, const std::string& handle) {
  ReapShims();
  // In this order: a shim that is gone has claimed the attempt, or never will.
  const bool shim_was_alive = IsHandleAlive(handle);
  TUNESMITH_ASSIGN_OR_RETURN(const Sight sight, SightOf(job.run_directory(), job.attempt()));
  if (!sight.claimed) return ViewUnclaimed(job, shim_was_alive);
  if (!sight.has_claimer && !sight.has_handle && AgeOfClaim(job) < kOldShimStartLimit)
    return WaitingView("");
  // In this order: a shim writes exit.json before it ends, so one that is gone has written it.
  if (IsAlive(sight.shim.pid(), sight.shim.start_ticks()))
    return sight.has_handle ? RunningView() : WaitingView("");
  TUNESMITH_ASSIGN_OR_RETURN(const Sight last, SightOf(job.run_directory(), job.attempt()));
  return ViewGone(job, last);
}

absl::Status HostLauncher::Cancel(const v1::Job& job, const std::string&) {
  TUNESMITH_ASSIGN_OR_RETURN(const Sight sight, SightOf(job.run_directory(), job.attempt()));
  SignalProcess(sight.shim.pid(), sight.shim.start_ticks(), SIGTERM);
  return absl::OkStatus();
}

void HostLauncher::ReapShims() {
  std::erase_if(shims_,
                [](const auto& shim) { return waitpid(shim.first, nullptr, WNOHANG) != 0; });
}

}  // namespace tunesmith::server
