#include "server/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

constexpr size_t kLongestInput = 64 * 1024;  // what a pipe holds, so that writing never blocks

// Both ends are closed with the object, and in commands of other threads.
class Pipe {
 public:
  static absl::StatusOr<Pipe> Make() {
    Pipe pipe;
    if (pipe2(pipe.ends_.data(), O_CLOEXEC) == 0) return pipe;
    return absl::ErrnoToStatus(errno, "cannot make a pipe");
  }
  Pipe(Pipe&& other) noexcept : ends_(other.ends_) { other.ends_ = {-1, -1}; }
  Pipe& operator=(Pipe&&) = delete;
  ~Pipe() {
    CloseEnd(0);
    CloseEnd(1);
  }
  int reading() const { return ends_[0]; }
  int writing() const { return ends_[1]; }
  void CloseEnd(size_t end) {
    if (ends_[end] >= 0) close(ends_[end]);
    ends_[end] = -1;
  }

 private:
  Pipe() = default;
  std::array<int, 2> ends_ = {-1, -1};
};

struct Pipes {
  Pipe input, output, errors;
};

std::vector<char*> Environment(const std::string& hidden_prefix) {
  std::vector<char*> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (hidden_prefix.empty() || !absl::StartsWith(*entry, hidden_prefix))
      variables.push_back(*entry);
  }
  variables.push_back(nullptr);
  return variables;
}

// In a group of its own, so that what it started can be killed with it.
absl::StatusOr<pid_t> Start(const CommandOptions& options, const Pipes& pipes) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, pipes.input.reading(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, pipes.output.writing(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, pipes.errors.writing(), STDERR_FILENO);
  if (!options.directory.empty())
    posix_spawn_file_actions_addchdir_np(&actions, options.directory.c_str());
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::vector<char*> arguments;
  for (const std::string& word : options.arguments)
    arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(),
                                 Environment(options.hidden_prefix).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return absl::ErrnoToStatus(error, StrCat("cannot run ", options.arguments[0]));
  return pid;
}

// Appends what can be read now; false when the other end was closed.
bool ReadSome(int from, std::string& to) {
  std::array<char, 65536> buffer;
  const ssize_t count = read(from, buffer.data(), buffer.size());
  if (count > 0) to.append(buffer.data(), static_cast<size_t>(count));
  return count > 0 || (count < 0 && errno == EINTR);
}

// Takes output until the command has closed both; false when time is over before.
bool Collect(const Pipes& pipes, absl::Time deadline, CommandResult& result) {
  std::array<pollfd, 2> open = {pollfd{pipes.output.reading(), POLLIN, 0},
                                pollfd{pipes.errors.reading(), POLLIN, 0}};
  const std::array<std::string*, 2> texts = {&result.output, &result.errors};
  while (open[0].fd >= 0 || open[1].fd >= 0) {
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0) return false;
    poll(open.data(), open.size(), static_cast<int>(left));
    for (size_t i = 0; i < open.size(); ++i) {
      if (open[i].revents != 0 && !ReadSome(open[i].fd, *texts[i])) open[i].fd = -1;
    }
  }
  return true;
}

// A command may close its output and go on; it is waited for until the time is over.
bool AwaitEnd(pid_t pid, absl::Time deadline, int& status) {
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

}  // namespace

absl::StatusOr<CommandResult> RunCommand(const CommandOptions& options) {
  if (options.input.size() > kLongestInput)
    return absl::InvalidArgumentError(StrCat("more than ", kLongestInput, " bytes for stdin"));
  TUNESMITH_ASSIGN_OR_RETURN(Pipe input, Pipe::Make());
  TUNESMITH_ASSIGN_OR_RETURN(Pipe output, Pipe::Make());
  TUNESMITH_ASSIGN_OR_RETURN(Pipe errors, Pipe::Make());
  Pipes pipes{std::move(input), std::move(output), std::move(errors)};
  // Before the command runs, so that one that reads nothing cannot end us by SIGPIPE.
  if (!options.input.empty())
    (void)!write(pipes.input.writing(), options.input.data(), options.input.size());
  const absl::Time deadline = absl::Now() + options.timeout;
  TUNESMITH_ASSIGN_OR_RETURN(const pid_t pid, Start(options, pipes));
  pipes.input.CloseEnd(0);
  pipes.input.CloseEnd(1);
  pipes.output.CloseEnd(1);
  pipes.errors.CloseEnd(1);
  CommandResult result;
  int status = 0;
  if (!Collect(pipes, deadline, result) || !AwaitEnd(pid, deadline, status)) {
    kill(-pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return absl::UnavailableError(StrCat(options.arguments[0], " did not answer within ",
                                         absl::FormatDuration(options.timeout)));
  }
  result.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

std::string FirstLine(const std::string& text) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const absl::string_view stripped = absl::StripAsciiWhitespace(line);
    if (!stripped.empty()) return std::string(stripped);
  }
  return "";
}

}  // namespace tunesmith::server
