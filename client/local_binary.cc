#include "client/local_binary.h"

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

int BecomeBinary(const std::string& name, const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {LocalBinaryPath(name)};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& argument : all) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  execv(all[0].c_str(), pointers.data());
  return Fail(absl::ErrnoToStatus(
      errno, StrCat("cannot start ", all[0],
                    "; set TUNESMITH_BIN_DIR to the directory of Tunesmith's binaries")));
}

}  // namespace tunesmith::client
