#include "client/local_binary.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "absl/status/status.h"
#include "client/commands.h"
#include "common/str_cat.h"

namespace tunesmith::client {

std::string LocalBinaryPath(const std::string& name) {
  if (const char* directory = std::getenv("TUNESMITH_BIN_DIR"); directory && *directory)
    return StrCat(directory, "/", name);
  std::error_code error;
  return (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / name).string();
}

namespace {

// An argv and what it points to.
class Command {
 public:
  Command(const std::string& name, const std::vector<std::string>& arguments)
      : words_({LocalBinaryPath(name)}) {
    words_.insert(words_.end(), arguments.begin(), arguments.end());
    for (std::string& word : words_) pointers_.push_back(word.data());
    pointers_.push_back(nullptr);
  }
  const char* path() const { return words_[0].c_str(); }
  char* const* argv() { return pointers_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<char*> pointers_;
};

absl::Status CannotStart(const Command& command, int error) {
  return absl::ErrnoToStatus(
      error, StrCat("cannot start ", command.path(),
                    "; set TUNESMITH_BIN_DIR to the directory of Tunesmith's binaries"));
}

std::string ReadToEnd(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = read(fd, buffer, sizeof buffer)) != 0;) {
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    text.append(buffer, static_cast<size_t>(count));
  }
  return text;
}

}  // namespace

int BecomeBinary(const std::string& name, const std::vector<std::string>& arguments) {
  Command command(name, arguments);
  execv(command.path(), command.argv());
  return Fail(CannotStart(command, errno));
}

absl::StatusOr<std::string> RunBinary(const std::string& name,
                                      const std::vector<std::string>& arguments) {
  Command command(name, arguments);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "cannot make a pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, command.path(), &actions, nullptr, command.argv(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  const std::string output = error == 0 ? ReadToEnd(ends[0]) : "";
  close(ends[0]);
  if (error != 0) return CannotStart(command, error);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return output;
  return absl::FailedPreconditionError(
      WIFEXITED(status) ? StrCat(name, " ended with exit status ", WEXITSTATUS(status))
                        : StrCat(name, " was killed by signal ", WTERMSIG(status)));
}

}  // namespace tunesmith::client
