#include "common/child.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/status/status.h"
#include "common/str_cat.h"

namespace tunesmith {
namespace {

std::string_view VariableName(std::string_view assignment) {
  return assignment.substr(0, assignment.find('='));
}

class Actions {
 public:
  explicit Actions(const ChildOptions& options) {
    posix_spawn_file_actions_init(&actions_);
    const int descriptors[] = {options.input, options.output, options.errors};
    for (int i = 0; i < 3; ++i) {
      if (descriptors[i] >= 0) posix_spawn_file_actions_adddup2(&actions_, descriptors[i], i);
    }
    if (!options.directory.empty())
      posix_spawn_file_actions_addchdir_np(&actions_, options.directory.c_str());
  }
  ~Actions() { posix_spawn_file_actions_destroy(&actions_); }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

class Attributes {
 public:
  explicit Attributes(const ChildOptions& options) {
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (options.new_session) flags |= POSIX_SPAWN_SETSID;
    if (options.new_group) flags |= POSIX_SPAWN_SETPGROUP;
    posix_spawnattr_setflags(&attributes_, static_cast<short>(flags));
  }
  ~Attributes() { posix_spawnattr_destroy(&attributes_); }
  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

}  // namespace

absl::StatusOr<pid_t> StartChild(const ChildOptions& options) {
  const Actions actions(options);
  const Attributes attributes(options);
  pid_t pid = 0;
  const int error =
      posix_spawnp(&pid, options.arguments[0].c_str(), actions.get(), attributes.get(),
                   PointersTo(options.arguments).data(), PointersTo(options.environment).data());
  if (error != 0) return absl::ErrnoToStatus(error, StrCat("cannot start ", options.arguments[0]));
  return pid;
}

std::vector<std::string> EnvironmentFor(const std::vector<std::string>& added,
                                        const std::vector<std::string>& hidden_prefixes) {
  std::vector<std::string> environment = added;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    bool left_out = false;
    for (const std::string& prefix : hidden_prefixes) left_out |= variable.starts_with(prefix);
    for (const std::string& assignment : added)
      left_out |= VariableName(assignment) == VariableName(variable);
    if (!left_out) environment.emplace_back(variable);
  }
  return environment;
}

std::vector<char*> PointersTo(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

int ExitStatusOf(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace tunesmith
