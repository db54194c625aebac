#include "server/rank_launch.h"

#include "common/mpi_launch.h"
#include "proto/convert/plan.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::server {
RankLaunch LaunchOf(const std::string& trainer_path, const std::string& run_directory,
                    int64_t rank_count) {
  RankLaunch launch;
  if (rank_count > 1) launch.arguments = MpirunCommand(trainer_path, rank_count);
  launch.is_mpirun = !launch.arguments.empty();
  for (const std::string& argument :
       {trainer_path, std::string("run"), std::string("--run-dir"), run_directory})
    launch.arguments.push_back(argument);
  return launch;
}

int64_t RankCountOf(const std::string& run_directory) {
  const auto plan = convert::ReadPlanFile(convert::InDirectory(run_directory, convert::kPlanFile));
  return plan.ok() ? planner::RankCount(plan->prediction.mix) : 1;
}

}  // namespace tunesmith::server
