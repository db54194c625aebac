#include "server/runner.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_join.h"
#include "common/descriptor.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/process.h"
#include "server/shim.h"
#include "server/unix_socket.h"

namespace tunesmith::server {
namespace {

constexpr size_t kLargestRequestBytes = 64 << 10;
constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr double kLongestGraceSeconds = 24 * 3600;

absl::Status CheckPeer(int connection) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return absl::InvalidArgumentError(
        "stdin is no connection of a Unix socket; systemd starts this (deploy/systemd)");
  if (peer.uid == 0 || peer.uid == getuid()) return absl::OkStatus();
  return absl::PermissionDeniedError(StrCat("user ", peer.uid, " asks, and user ", getuid(),
                                            " answers to itself and to root alone"));
}

absl::Status CheckDirectory(const std::string& path) {
  struct stat info = {};
  if (path.empty() || path.front() != '/')
    return absl::InvalidArgumentError(
        StrCat("run_directory is \"", path, "\"; give an absolute path"));
  if (stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return absl::InvalidArgumentError(StrCat("run_directory ", path, " is no directory here"));
  return absl::OkStatus();
}

absl::Status CheckRequest(const v1::RunAttemptRequest& request) {
  TUNESMITH_RETURN_IF_ERROR(CheckDirectory(request.run_directory()));
  if (request.attempt() < 1)
    return absl::InvalidArgumentError(
        StrCat("attempt is ", request.attempt(), "; they count from 1"));
  if (!(request.grace_seconds() >= 0 && request.grace_seconds() <= kLongestGraceSeconds))
    return absl::InvalidArgumentError(
        StrCat("grace_seconds is ", request.grace_seconds(), "; a day at most"));
  for (const int64_t index : request.gpu_indices()) {
    if (index < 0) return absl::InvalidArgumentError(StrCat("gpu_indices has ", index));
  }
  return absl::OkStatus();
}

// From here on what this process says goes to the run directory.
absl::Status WriteToShimLog(const std::string& run_directory) {
  const std::string path = convert::InDirectory(run_directory, convert::kShimLogFile);
  const Descriptor log(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (log.get() < 0 || dup2(log.get(), STDOUT_FILENO) < 0 || dup2(log.get(), STDERR_FILENO) < 0)
    return absl::PermissionDeniedError(StrCat(path, " cannot be written: ", std::strerror(errno)));
  return absl::OkStatus();
}

void ShowGpus(const v1::RunAttemptRequest& request) {
  if (request.gpu_indices().empty()) return;
  setenv("CUDA_VISIBLE_DEVICES", absl::StrJoin(request.gpu_indices(), ",").c_str(), 1);
}

void Answer(int connection, const absl::Status& status) {
  v1::RunAttemptReply reply;
  if (!status.ok()) reply.set_error(std::string(status.message()));
  if (status.ok()) {
    reply.set_pid(getpid());
    reply.set_start_ticks(StartTicks(getpid()).value_or(0));
  }
  // One who has gone without waiting finds the attempt by its run directory.
  (void)SendAll(connection, convert::ToJson(reply, convert::JsonLayout::kOneLine));
}

void LetGoOf(int connection) {
  const Descriptor null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  dup2(null.get(), connection);
}

ShimOptions ShimOptionsOf(const v1::RunAttemptRequest& request, const std::string& trainer_path) {
  return {.run_directory = request.run_directory(),
          .attempt = request.attempt(),
          .trainer_path = trainer_path,
          .grace = absl::Seconds(request.grace_seconds())};
}

}  // namespace

absl::StatusOr<v1::RunAttemptRequest> TakeRunAttemptRequest(int connection) {
  TUNESMITH_RETURN_IF_ERROR(CheckPeer(connection));
  SetPatience(connection, kPatience);
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReceiveAll(connection, kLargestRequestBytes));
  v1::RunAttemptRequest request;
  TUNESMITH_RETURN_IF_ERROR(convert::FromJson(text, "the request", &request));
  TUNESMITH_RETURN_IF_ERROR(CheckRequest(request));
  return request;
}

int RunnerMain(int argc, char** argv) {
  CLI::App app("Runs one attempt for whoever is connected to stdin. Started by systemd.");
  std::string trainer_path;
  app.add_option("--trainer", trainer_path, "Path of tunesmith-trainer")->required();
  CLI11_PARSE(app, argc, argv);
  close_range(3, ~0u, 0);  // systemd passes the connection a second time
  const auto request = TakeRunAttemptRequest(STDIN_FILENO);
  const absl::Status status =
      request.ok() ? WriteToShimLog(request->run_directory()) : request.status();
  Answer(STDIN_FILENO, status);
  LetGoOf(STDIN_FILENO);
  if (!status.ok()) {
    std::fprintf(stderr, "tunesmith-shim: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  ShowGpus(*request);
  const auto exit = RunShim(ShimOptionsOf(*request, trainer_path));
  if (!exit.ok()) std::fprintf(stderr, "tunesmith-shim: %s\n", exit.status().ToString().c_str());
  return exit.ok() ? 0 : 1;
}

}  // namespace tunesmith::server
