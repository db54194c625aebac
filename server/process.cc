#include "server/process.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/child.h"
#include "common/descriptor.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

// Fields of /proc/<pid>/stat from the third on: kState is its first.
constexpr size_t kState = 0;        // field 3
constexpr size_t kParent = 1;       // field 4
constexpr size_t kStartTicks = 19;  // field 22

// What posix_spawn cannot do. The child tells through a pipe, which exec closes, that it could not.
absl::StatusOr<pid_t> ForkTied(const ChildOptions& options) {
  int failed[2];
  if (pipe2(failed, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "cannot make a pipe");
  const std::vector<char*> arguments = PointersTo(options.arguments);
  const std::vector<char*> variables = PointersTo(options.environment);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    if (options.new_session) setsid();
    if (options.new_group) setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);  // it died before we asked
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    dup2(options.input, STDIN_FILENO);
    dup2(options.output, STDOUT_FILENO);
    dup2(options.errors, STDERR_FILENO);
    execve(arguments[0], arguments.data(), variables.data());
    const int error = errno;
    (void)!write(failed[1], &error, sizeof error);
    _exit(127);
  }
  close(failed[1]);
  int error = pid < 0 ? errno : 0;
  if (pid > 0 && read(failed[0], &error, sizeof error) != sizeof error) error = 0;
  close(failed[0]);
  if (error == 0) return pid;
  if (pid > 0) waitpid(pid, nullptr, 0);
  return absl::ErrnoToStatus(error, StrCat("cannot start ", options.arguments[0]));
}

absl::StatusOr<Descriptor> Open(const std::string& path, int flags) {
  Descriptor file(open(path.c_str(), flags | O_CLOEXEC, 0644));
  if (file.get() >= 0) return file;
  return absl::ErrnoToStatus(errno, StrCat("cannot open ", path));
}

absl::StatusOr<std::string> StatLine(int64_t pid) {
  const std::string path = StrCat("/proc/", pid, "/stat");
  std::array<char, 4096> line;  // it has less than 1 KiB
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t size = file.get() < 0 ? -1 : read(file.get(), line.data(), line.size());
  if (size >= 0) return std::string(line.data(), static_cast<size_t>(size));
  // It may end between the two calls.
  if (errno == ENOENT || errno == ESRCH) return absl::NotFoundError(StrCat("no process ", pid));
  return absl::UnavailableError(StrCat("cannot read ", path, ": ", strerror(errno)));
}

absl::StatusOr<std::vector<std::string>> StatFields(int64_t pid) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string line, StatLine(pid));
  // The second field is the command in parentheses and may itself hold spaces and parentheses.
  const size_t command_end = line.rfind(')');
  if (command_end == std::string::npos || command_end + 2 > line.size())
    return absl::InternalError(StrCat("/proc/", pid, "/stat has an unknown form"));
  return absl::StrSplit(line.substr(command_end + 2), ' ');
}

bool IsKnownAlive(int64_t pid, int64_t start_ticks) {
  const auto ticks = StartTicks(pid);
  return pid > 0 && ticks.ok() && *ticks == start_ticks;
}

}  // namespace

absl::StatusOr<int64_t> StartTicks(int64_t pid) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<std::string> fields, StatFields(pid));
  int64_t ticks = 0;
  if (fields.size() <= kStartTicks || !absl::SimpleAtoi(fields[kStartTicks], &ticks)) {
    return absl::InternalError(StrCat("/proc/", pid, "/stat has an unknown form"));
  }
  if (fields[kState] == "Z" || fields[kState] == "X")
    return absl::NotFoundError(StrCat("process ", pid, " has ended"));
  return ticks;
}

bool IsAlive(int64_t pid, int64_t start_ticks) {
  if (pid <= 0) return false;
  const auto ticks = StartTicks(pid);
  return ticks.ok() ? *ticks == start_ticks : !absl::IsNotFound(ticks.status());
}

void SignalProcess(int64_t pid, int64_t start_ticks, int signal) {
  if (IsKnownAlive(pid, start_ticks)) kill(static_cast<pid_t>(pid), signal);
}

void SignalGroup(int64_t pid, int64_t start_ticks, int signal) {
  if (IsKnownAlive(pid, start_ticks)) kill(static_cast<pid_t>(-pid), signal);
}

absl::StatusOr<pid_t> Spawn(const SpawnOptions& options) {
  TUNESMITH_ASSIGN_OR_RETURN(const Descriptor input, Open("/dev/null", O_RDONLY));
  TUNESMITH_ASSIGN_OR_RETURN(const Descriptor output,
                             Open(options.output_path, O_WRONLY | O_CREAT | O_APPEND));
  const ChildOptions child{.arguments = options.arguments,
                           .environment = EnvironmentFor(options.environment),
                           .input = input.get(),
                           .output = output.get(),
                           .errors = output.get(),
                           .new_session = options.new_session,
                           .new_group = options.new_group};
  return options.dies_with_parent ? ForkTied(child) : StartChild(child);
}

std::string ProcessSpace() {
  const auto boot = ReadFile("/proc/sys/kernel/random/boot_id");
  std::error_code error;
  const std::string space = std::filesystem::read_symlink("/proc/self/ns/pid", error).string();
  if (!boot.ok() || error) return "";
  return StrCat(absl::StripAsciiWhitespace(*boot), "/", space);
}

std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    int64_t candidate = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &candidate)) continue;
    const auto fields = StatFields(candidate);
    if (fields.ok() && fields->size() > kParent && (*fields)[kParent] == StrCat(pid))
      children.push_back(static_cast<pid_t>(candidate));
  }
  return children;
}

std::string SignalName(int signal) {
  const char* name = sigabbrev_np(signal);
  return name ? StrCat(signal, " (SIG", name, ")") : StrCat(signal);
}

}  // namespace tunesmith::server
