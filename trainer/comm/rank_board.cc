#include "trainer/comm/rank_board.h"

#include <unistd.h>

#include <utility>
#include <vector>

#include "common/file.h"
#include "common/text.h"

namespace tunesmith::trainer {
namespace {

// The same for the ranks of one launch, another for every launch: as PMIx names it, else as Slurm numbers it, and its requeues.
std::string LaunchOf(const Environment& environment) {
  std::string launch;
  for (const char* name :
       {"PMIX_NAMESPACE", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"}) {
    const auto found = environment.find(name);
    if (found != environment.end()) launch += found->second + "/";
  }
  return launch;
}

}  // namespace

RankBoard::RankBoard(std::string folder, const Environment& environment, const RankPlace& place)
    : folder_(std::move(folder)), launch_(LaunchOf(environment)), place_(place) {
  if (!folder_.empty() && MakeDirectories(folder_).ok())
    (void)WriteFileAtomically(PathOf(place_.rank), launch_);
}

void RankBoard::TakeDown() const {
  if (!folder_.empty()) (void)unlink(PathOf(place_.rank).c_str());
}

std::string RankBoard::Absent() const {
  std::vector<std::string> absent;
  for (int64_t rank = 0; rank < place_.size; ++rank) {
    const auto launch = ReadFile(PathOf(rank));
    if (!launch.ok() || *launch != launch_) absent.push_back(StrCat("rank ", rank));
  }
  return folder_.empty() || absent.empty() ? StrCat("all ", place_.size, " ranks")
                                           : StrJoin(absent, ", ");
}

std::string RankBoard::PathOf(int64_t rank) const {
  return StrCat(folder_, "/rank-", rank, ".joining");
}

}  // namespace tunesmith::trainer
