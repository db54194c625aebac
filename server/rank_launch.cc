#include "server/rank_launch.h"

#include "common/mpi_launch.h"
#include "proto/convert/plan.h"
#include "proto/convert/run_directory.h"
#include "server/rank_starter.h"

namespace tunesmith::server {
RankLaunch LaunchOf(const ShimOptions& options, int64_t rank_count) {
  RankLaunch launch;
  if (!options.master.empty()) {
    launch.starter = RankStarter::kNode;
    launch.arguments = NodeStarterCommand(options, rank_count);
  } else if (rank_count > 1) {
    launch.arguments = MpirunCommand(options.trainer_path, rank_count);
    if (!launch.arguments.empty()) launch.starter = RankStarter::kMpirun;
  }
  for (const std::string& argument :
       {options.trainer_path, std::string("run"), std::string("--run-dir"), options.run_directory})
    launch.arguments.push_back(argument);
  return launch;
}

int64_t RankCountOf(const std::string& run_directory) {
  const auto plan = convert::ReadPlanFile(convert::InDirectory(run_directory, convert::kPlanFile));
  return plan.ok() ? planner::RankCount(plan->prediction.mix) : 1;
}

}  // namespace tunesmith::server
