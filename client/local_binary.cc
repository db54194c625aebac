#include "client/local_binary.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "absl/status/status.h"
#include "client/commands.h"
#include "common/child.h"
#include "common/command.h"
#include "common/str_cat.h"

namespace tunesmith::client {

std::string LocalBinaryPath(const std::string& name) {
  if (const char* directory = std::getenv("TUNESMITH_BIN_DIR"); directory && *directory)
    return StrCat(directory, "/", name);
  std::error_code error;
  return (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / name).string();
}

namespace {

std::vector<std::string> CommandLine(const std::string& name,
                                     const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {LocalBinaryPath(name)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

absl::Status WithCure(const absl::Status& status) {
  return absl::Status(
      status.code(),
      StrCat(status.message(), "; set TUNESMITH_BIN_DIR to the directory of Tunesmith's binaries"));
}

}  // namespace

int BecomeBinary(const std::string& name, const std::vector<std::string>& arguments) {
  const std::vector<std::string> words = CommandLine(name, arguments);
  execv(words[0].c_str(), PointersTo(words).data());
  return Fail(WithCure(absl::ErrnoToStatus(errno, StrCat("cannot start ", words[0]))));
}

absl::StatusOr<std::string> RunBinary(const std::string& name,
                                      const std::vector<std::string>& arguments) {
  const auto result = RunCommand({.arguments = CommandLine(name, arguments),
                                  .input = {},
                                  .directory = {},
                                  .hidden_prefixes = {},
                                  .timeout = absl::InfiniteDuration(),
                                  .shares_errors = true});
  if (!result.ok()) return WithCure(result.status());
  if (result->status == 0) return result->output;
  return absl::FailedPreconditionError(StrCat(name, " ended with exit status ", result->status));
}

}  // namespace tunesmith::client
