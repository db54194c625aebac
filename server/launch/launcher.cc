#include "server/launch/launcher.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "common/descriptor.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/launch/sight.h"

namespace tunesmith::server {
namespace {

// Keeps the time of the first attempt's file, also where another version of the server writes it otherwise: that of job.json is the date that the job's chat template
// sees, in every attempt.
absl::Status WriteKeepingTime(const std::string& path, const google::protobuf::Message& message) {
  const absl::StatusOr<std::string> written = ReadFile(path);
  if (written.ok() && *written == convert::ToJson(message)) return absl::OkStatus();
  std::error_code absent, ignored;
  const auto time = std::filesystem::last_write_time(path, absent);
  TUNESMITH_RETURN_IF_ERROR(convert::WriteJsonFile(path, message));
  if (!absent) std::filesystem::last_write_time(path, time, ignored);
  return absl::OkStatus();
}

}  // namespace

using convert::InDirectory;

AttemptView WaitingView(std::string reason, absl::Time expected_start) {
  return {.phase = AttemptView::Phase::kWaiting,
          .reason = std::move(reason),
          .expected_start = expected_start,
          .exit = {}};
}

AttemptView RunningView() {
  return {.phase = AttemptView::Phase::kRunning, .reason = {}, .exit = {}};
}

AttemptView EndedView(v1::JobExit exit) {
  return {.phase = AttemptView::Phase::kEnded, .reason = {}, .exit = std::move(exit)};
}

v1::Cluster ClusterOf(std::string_view launcher, const std::string& description) {
  v1::Cluster cluster;
  cluster.set_name(StrCat("clusters/", launcher));
  cluster.set_launcher(std::string(launcher));
  cluster.set_description(description);
  return cluster;
}

std::vector<Admission> AdmitAll(const std::vector<v1::Job>& queue) {
  return std::vector<Admission>(queue.size(), Admission{.admitted = true, .reason = {}});
}

std::string ClusterJobNameBegin(const v1::Job& job) {
  return StrCat("tunesmith-", job.uid().empty() ? "job" : job.uid(), "-");
}

std::string ClusterJobName(const v1::Job& job) {
  return StrCat(ClusterJobNameBegin(job), std::max<int64_t>(1, job.attempt()));
}

std::vector<std::string> ShimCommand(const std::string& shim_path, const std::string& trainer_path,
                                     absl::Duration grace, const v1::Job& job) {
  return {shim_path,
          "--run-dir",
          job.run_directory(),
          "--attempt",
          StrCat(std::max<int64_t>(1, job.attempt())),
          "--trainer",
          trainer_path,
          "--grace-seconds",
          StrCat(absl::ToDoubleSeconds(grace))};
}

void AddFile(const std::string& path, const std::string& text, v1::RenderedSubmission& submission) {
  v1::RenderedFile& rendered = *submission.add_files();
  rendered.set_path(path);
  rendered.set_text(text);
}

void AddJobFiles(const v1::Job& job, v1::RenderedSubmission& submission) {
  AddFile(InDirectory(job.run_directory(), convert::kPlanFile), convert::ToJson(job.plan()),
          submission);
  AddFile(InDirectory(job.run_directory(), convert::kJobSpecFile), convert::ToJson(job.spec()),
          submission);
}

absl::Status PrepareRunDirectory(const v1::Job& job) {
  const std::string& directory = job.run_directory();
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(InDirectory(directory, convert::kLogDirectory)));
  TUNESMITH_RETURN_IF_ERROR(
      WriteKeepingTime(InDirectory(directory, convert::kPlanFile), job.plan()));
  return WriteKeepingTime(InDirectory(directory, convert::kJobSpecFile), job.spec());
}

absl::Status ForbidAttempt(const v1::Job& job) {
  const std::string path = InDirectory(job.run_directory(), convert::AttemptFile(job.attempt()));
  const Descriptor claim(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (claim.get() >= 0 || errno == ENOENT) return absl::OkStatus();
  const absl::Status status = absl::ErrnoToStatus(errno, StrCat("cannot create ", path));
  if (!absl::IsAlreadyExists(status)) return status;
  TUNESMITH_ASSIGN_OR_RETURN(const Sight sight, SightOf(job.run_directory(), job.attempt()));
  return sight.has_claimer ? status : absl::OkStatus();  // by us, before
}

}  // namespace tunesmith::server
