#include "common/mpi_launch.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "absl/strings/str_split.h"
#include "common/str_cat.h"

namespace tunesmith {
namespace {

constexpr char kPluginName[] = "libtunesmith_mpi.so";
// Between mpirun's SIGTERM to the ranks that one has left, and its SIGKILL: time to notice, and to say why in exit.json.
constexpr char kSecondsToEnd[] = "5";

bool IsExecutable(const std::string& path) {
  std::error_code unreadable;
  return std::filesystem::is_regular_file(path, unreadable) && access(path.c_str(), X_OK) == 0;
}

std::string FindOnPath(std::string_view name) {
  const char* path = std::getenv("PATH");
  if (path == nullptr) return "";
  for (const absl::string_view folder : absl::StrSplit(path, ':')) {
    const std::string candidate = StrCat(folder.empty() ? "." : folder, "/", name);
    if (IsExecutable(candidate)) return candidate;
  }
  return "";
}

}  // namespace

std::string MpiPluginPath(const std::string& binary_path) {
  const char* named = std::getenv(kMpiPluginVariable);
  if (named != nullptr && *named != '\0') return named;
  return std::filesystem::path(binary_path).parent_path() / kPluginName;
}

std::vector<std::string> MpirunCommand(const std::string& binary_path, int64_t rank_count) {
  const std::string mpirun = FindOnPath("mpirun");
  if (mpirun.empty() || access(MpiPluginPath(binary_path).c_str(), R_OK) != 0) return {};
  // Ranks share the host's processors; binding each to one would take the others away. More ranks than processors are allowed.
  std::vector<std::string> command = {
      mpirun, "-n",    StrCat(rank_count),          "--oversubscribe", "--bind-to",
      "none", "--mca", "odls_base_sigkill_timeout", kSecondsToEnd};
  if (geteuid() == 0) command.push_back("--allow-run-as-root");
  return command;
}

std::string MpirunNeeds() {
  return FindOnPath("mpirun").empty() ? "mpirun is not on the PATH"
                                      : StrCat("the trainer's plugin ", kPluginName, " is missing");
}

}  // namespace tunesmith
