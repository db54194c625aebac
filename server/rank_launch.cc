#include "server/rank_launch.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "absl/strings/str_split.h"
#include "common/str_cat.h"
#include "proto/convert/plan.h"
#include "proto/convert/run_directory.h"
#include "server/rank_starter.h"

namespace tunesmith::server {
namespace {

constexpr char kPluginVariable[] = "TUNESMITH_MPI_PLUGIN";
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

bool HasPlugin(const std::string& trainer_path) {
  const char* named = std::getenv(kPluginVariable);
  const std::string beside = std::filesystem::path(trainer_path).parent_path() / kPluginName;
  const std::string path = named != nullptr && *named != '\0' ? std::string(named) : beside;
  return access(path.c_str(), R_OK) == 0;
}

}  // namespace

RankLaunch LaunchOf(const ShimOptions& options, int64_t rank_count) {
  RankLaunch launch;
  const std::string mpirun = rank_count > 1 ? FindOnPath("mpirun") : "";
  if (!options.master.empty()) {
    launch.starter = RankStarter::kNode;
    launch.arguments = NodeStarterCommand(options, rank_count);
  } else if (!mpirun.empty() && HasPlugin(options.trainer_path)) {
    launch.starter = RankStarter::kMpirun;
    // The trainer shares the host's processors between its ranks; binding each to one would take the others away. More ranks than processors are allowed.
    launch.arguments = {
        mpirun, "-n",    StrCat(rank_count),          "--oversubscribe", "--bind-to",
        "none", "--mca", "odls_base_sigkill_timeout", kSecondsToEnd};
    if (geteuid() == 0) launch.arguments.push_back("--allow-run-as-root");
  }
  for (const std::string& argument :
       {options.trainer_path, std::string("run"), std::string("--run-dir"), options.run_directory})
    launch.arguments.push_back(argument);
  return launch;
}

std::string LaunchNeeds() {
  return FindOnPath("mpirun").empty() ? "mpirun is not on the PATH"
                                      : StrCat("the trainer's plugin ", kPluginName, " is missing");
}

int64_t RankCountOf(const std::string& run_directory) {
  const auto plan = convert::ReadPlanFile(convert::InDirectory(run_directory, convert::kPlanFile));
  return plan.ok() ? planner::RankCount(plan->prediction.mix) : 1;
}

}  // namespace tunesmith::server
