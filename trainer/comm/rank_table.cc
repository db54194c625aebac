#include "trainer/comm/rank_table.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace tunesmith::trainer {
namespace {

// What a launcher calls the numbers; empty: it does not say.
struct Convention {
  std::string_view rank;
  std::string_view size;
  std::string_view local_rank = {};
  std::string_view local_size = {};
  std::string_view node = {};
  // Its numbers are of this process only where this variable is there too; as `required_value`, where that is not empty.
  std::string_view required = {};
  std::string_view required_value = {};
  // May hold another launcher, whose numbers are then the process's.
  bool is_outer = false;
  // There where the launcher connects its processes by MPI.
  std::string_view mpi_mark = {};
};

// Sources: mpirun(1) of Open MPI 4.1, "Environment variables"; MPICH's Hydra; torch.distributed.run, "Environment Variables" (PET_: its options as
// variables); srun(1), "OUTPUT ENVIRONMENT VARIABLES"; Kubernetes, "Indexed Job". A batch script has SLURM_PROCID too, but is no step. A Kubernetes Job
// tells each pod its index and nobody how many there are: WORLD_SIZE is to be set in its template.
constexpr std::array<Convention, 6> kConventions = {{
    {.rank = "OMPI_COMM_WORLD_RANK",
     .size = "OMPI_COMM_WORLD_SIZE",
     .local_rank = "OMPI_COMM_WORLD_LOCAL_RANK",
     .local_size = "OMPI_COMM_WORLD_LOCAL_SIZE",
     .mpi_mark = "OMPI_COMM_WORLD_SIZE"},
    {.rank = "PMI_RANK",
     .size = "PMI_SIZE",
     .local_rank = "MPI_LOCALRANKID",
     .local_size = "MPI_LOCALNRANKS",
     .mpi_mark = "PMI_SIZE"},
    {.rank = "RANK",
     .size = "WORLD_SIZE",
     .local_rank = "LOCAL_RANK",
     .local_size = "LOCAL_WORLD_SIZE",
     .node = "GROUP_RANK"},
    {.rank = "PET_NODE_RANK",
     .size = "PET_NNODES",
     .node = "PET_NODE_RANK",
     .required = "PET_NPROC_PER_NODE",
     .required_value = "1",
     .is_outer = true},
    {.rank = "SLURM_PROCID",
     .size = "SLURM_NTASKS",
     .local_rank = "SLURM_LOCALID",
     .node = "SLURM_NODEID",
     .required = "SLURM_STEP_ID",
     .is_outer = true,
     .mpi_mark = "PMIX_NAMESPACE"},
    {.rank = "JOB_COMPLETION_INDEX",
     .size = "WORLD_SIZE",
     .node = "JOB_COMPLETION_INDEX",
     .is_outer = true},
}};

constexpr char kSlurmTasksPerNode[] = "SLURM_STEP_TASKS_PER_NODE";

std::optional<std::string> Find(const Environment& environment, std::string_view name) {
  const auto found = environment.find(std::string(name));
  if (name.empty() || found == environment.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

std::string Shown(const Environment& environment, std::string_view name) {
  return StrCat(name, "=", Find(environment, name).value_or("(not set)"));
}

// The number of a variable, `fallback` where it is not set.
absl::StatusOr<int64_t> Number(const Environment& environment, std::string_view name,
                               int64_t fallback) {
  const auto text = Find(environment, name);
  if (!text) return fallback;
  int64_t value = 0;
  if (ParseInt64(*text, &value) && value >= 0) return value;
  return absl::InvalidArgumentError(
      StrCat("the environment has ", name, "=", *text, ", which is no count"));
}

absl::Status CheckBelow(const Environment& environment, std::string_view name, int64_t value,
                        std::string_view limit_name, int64_t limit) {
  if (value < limit) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("the environment has ", name, "=", value, " and ",
                                           Shown(environment, limit_name), ": the first must be ",
                                           "below the second"));
}

bool Applies(const Environment& environment, const Convention& c) {
  if (c.required.empty()) return true;
  const auto found = Find(environment, c.required);
  return found && (c.required_value.empty() || *found == c.required_value);
}

// Ranks on a node, of "2(x3),1": two on each of the first three, one on the fourth.
std::optional<int64_t> TasksOnNode(std::string_view text, int64_t node) {
  for (std::string_view run : StrSplit(text, ",")) {
    int64_t tasks = 0, repeats = 1;
    const size_t open = run.find("(x");
    if (open != std::string_view::npos && run.ends_with(")")) {
      if (!ParseInt64(run.substr(open + 2, run.size() - open - 3), &repeats)) return std::nullopt;
      run = run.substr(0, open);
    }
    if (!ParseInt64(run, &tasks) || tasks < 1) return std::nullopt;
    if (node < repeats) return tasks;
    node -= repeats;
  }
  return std::nullopt;
}

absl::StatusOr<RankPlace> Read(const Environment& environment, const Convention& c) {
  RankPlace place{.size_variable = std::string(c.size),
                  .has_mpi = Find(environment, c.mpi_mark).has_value()};
  TUNESMITH_ASSIGN_OR_RETURN(place.rank, Number(environment, c.rank, 0));
  TUNESMITH_ASSIGN_OR_RETURN(place.size, Number(environment, c.size, 0));
  TUNESMITH_RETURN_IF_ERROR(CheckBelow(environment, c.rank, place.rank, c.size, place.size));
  TUNESMITH_ASSIGN_OR_RETURN(place.local_rank, Number(environment, c.local_rank, 0));
  TUNESMITH_ASSIGN_OR_RETURN(place.node, Number(environment, c.node, -1));
  int64_t local_size = place.local_rank + 1;
  if (c.rank == "SLURM_PROCID") {
    local_size = TasksOnNode(Find(environment, kSlurmTasksPerNode).value_or(""), place.node)
                     .value_or(local_size);
  }
  TUNESMITH_ASSIGN_OR_RETURN(place.local_size, Number(environment, c.local_size, local_size));
  TUNESMITH_RETURN_IF_ERROR(CheckBelow(environment, c.local_rank, place.local_rank,
                                       c.local_size.empty() ? kSlurmTasksPerNode : c.local_size,
                                       place.local_size));
  if (place.node < 0) place.node = place.rank / place.local_size;
  return place;
}

absl::Status Differ(const Environment& environment, const Convention& a, const Convention& b) {
  return absl::InvalidArgumentError(
      StrCat("two launchers say different things of this process: ", Shown(environment, a.rank),
             " and ", Shown(environment, a.size), ", but ", Shown(environment, b.rank), " and ",
             Shown(environment, b.size), "; unset those that are not meant"));
}

// Whether the convention's launcher has started this process. A rank and its size come together.
absl::StatusOr<bool> IsThere(const Environment& environment, const Convention& c,
                             bool size_is_taken) {
  if (!Applies(environment, c)) return false;
  const auto rank = Find(environment, c.rank), size = Find(environment, c.size);
  if (rank && size) return true;
  // The only pod of a Job has an index too.
  if (!size && c.rank == "JOB_COMPLETION_INDEX" && rank == "0") return false;
  if (!rank && (!size || size_is_taken)) return false;
  const std::string_view there = rank ? c.rank : c.size, missing = rank ? c.size : c.rank;
  return absl::InvalidArgumentError(StrCat("the environment has ", Shown(environment, there),
                                           " without ", missing, "; set it too, or unset ", there));
}

}  // namespace

Environment ProcessEnvironment() {
  Environment found;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos)
      found.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return found;
}

absl::StatusOr<RankPlace> FindRank(const Environment& environment) {
  std::optional<RankPlace> nearest;
  const Convention* nearest_convention = nullptr;
  const bool has_index = Find(environment, "JOB_COMPLETION_INDEX").has_value();
  for (const Convention& c : kConventions) {
    if (nearest && c.is_outer) break;
    TUNESMITH_ASSIGN_OR_RETURN(const bool is_there, IsThere(environment, c, has_index));
    if (!is_there) continue;
    TUNESMITH_ASSIGN_OR_RETURN(const RankPlace place, Read(environment, c));
    if (nearest && (nearest->rank != place.rank || nearest->size != place.size))
      return Differ(environment, *nearest_convention, c);
    if (nearest) continue;
    nearest = place;
    nearest_convention = &c;
  }
  return nearest.value_or(RankPlace{});
}

absl::Status CheckRankCount(const RankPlace& place, const planner::Mix& mix) {
  const int64_t planned = planner::RankCount(mix);
  if (place.size == planned) return absl::OkStatus();
  const std::string found = place.size_variable.empty() ? "" : StrCat(" by ", place.size_variable);
  return absl::InvalidArgumentError(StrCat(
      planner::RanksText(mix), " of the plan != ranks(", place.size, ")", found, ": start ",
      planned, planned == 1 ? " process" : " processes", ", or make the plan for ", place.size));
}

}  // namespace tunesmith::trainer
