#include "common/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/child.h"
#include "common/descriptor.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith {
namespace {

constexpr size_t kLongestInput = 64 * 1024;  // what a pipe holds, so that writing never blocks
constexpr absl::Duration kLongestPoll = absl::Hours(1);

// Both ends are closed in commands of other threads.
struct Pipe {
  static absl::StatusOr<Pipe> Make() {
    std::array<int, 2> ends;
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "cannot make a pipe");
    return Pipe{.reading = Descriptor(ends[0]), .writing = Descriptor(ends[1])};
  }
  Descriptor reading, writing;
};

// Appends what can be read now; false when the other end was closed.
bool ReadSome(int from, std::string& to) {
  std::array<char, 65536> buffer;
  const ssize_t count = read(from, buffer.data(), buffer.size());
  if (count > 0) to.append(buffer.data(), static_cast<size_t>(count));
  return count > 0 || (count < 0 && errno == EINTR);
}

// Takes output until the command has closed both; false when time is over before.
bool Collect(const Pipe& output, const Pipe& errors, absl::Time deadline, CommandResult& result) {
  std::array<pollfd, 2> open = {pollfd{output.reading.get(), POLLIN, 0},
                                pollfd{errors.reading.get(), POLLIN, 0}};
  const std::array<std::string*, 2> texts = {&result.output, &result.errors};
  while (open[0].fd >= 0 || open[1].fd >= 0) {
    const absl::Duration left = std::min(deadline - absl::Now(), kLongestPoll);
    if (left <= absl::ZeroDuration()) return false;
    // When it fails, revents are those of the call before.
    if (poll(open.data(), open.size(), static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) <= 0)
      continue;
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
  // Before the command runs, so that one that reads nothing cannot end us by SIGPIPE.
  if (!options.input.empty())
    (void)!write(input.writing.get(), options.input.data(), options.input.size());
  const absl::Time deadline = absl::Now() + options.timeout;
  // In a group of its own, what it started can be killed with it.
  TUNESMITH_ASSIGN_OR_RETURN(
      const pid_t pid, StartChild({.arguments = options.arguments,
                                   .environment = EnvironmentFor({}, options.hidden_prefixes),
                                   .directory = options.directory,
                                   .input = input.reading.get(),
                                   .output = output.writing.get(),
                                   .errors = options.shares_errors ? -1 : errors.writing.get(),
                                   .new_group = options.timeout < absl::InfiniteDuration()}));
  input = Pipe();
  output.writing.Close();
  errors.writing.Close();
  CommandResult result;
  int status = 0;
  if (!Collect(output, errors, deadline, result) || !AwaitEnd(pid, deadline, status)) {
    kill(-pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return absl::UnavailableError(StrCat(options.arguments[0], " did not answer within ",
                                         absl::FormatDuration(options.timeout)));
  }
  result.status = ExitStatusOf(status);
  return result;
}

std::string FirstLine(const std::string& text) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const absl::string_view stripped = absl::StripAsciiWhitespace(line);
    if (!stripped.empty()) return std::string(stripped);
  }
  return "";
}

}  // namespace tunesmith
