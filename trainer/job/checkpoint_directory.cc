#include "trainer/job/checkpoint_directory.h"

#include <filesystem>
#include <string_view>
#include <system_error>

#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/sync_directory.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::trainer {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStepPrefix = "step-";
constexpr std::string_view kPartial = ".partial";
constexpr std::string_view kReplaced = ".replaced";

std::string CheckpointsOf(const std::string& run_directory) {
  return convert::InDirectory(run_directory, convert::kCheckpointsDirectory);
}

std::string PathOf(const std::string& run_directory, int64_t step) {
  return convert::InDirectory(run_directory, convert::CheckpointDirectory(step));
}

absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error))
    names.push_back(entry->path().filename().string());
  if (!error || error == std::errc::no_such_file_or_directory) return names;
  return absl::UnavailableError(
      StrCat("cannot list the checkpoints in ", directory, ": ", error.message()));
}

absl::Status Rename(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(StrCat("cannot rename ", from, " to ", to, ": ", error.message()));
}

// What stays of it takes room and does no other harm.
void Remove(const std::string& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

bool Exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> CheckpointSteps(const std::string& run_directory) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                             NamesIn(CheckpointsOf(run_directory)));
  std::vector<int64_t> steps;
  for (const std::string_view name : names) {
    int64_t step = 0;
    if (name.starts_with(kStepPrefix) && ParseInt64(name.substr(kStepPrefix.size()), &step))
      steps.push_back(step);
  }
  return steps;
}

std::string PartialCheckpoint(const std::string& run_directory, int64_t step) {
  return StrCat(PathOf(run_directory, step), kPartial);
}

absl::Status FinishCheckpoint(const std::string& run_directory, int64_t step) {
  const std::string path = PathOf(run_directory, step), aside = StrCat(path, kReplaced);
  if (Exists(path)) {
    Remove(aside);
    TUNESMITH_RETURN_IF_ERROR(Rename(path, aside));
  }
  if (const absl::Status renamed = Rename(PartialCheckpoint(run_directory, step), path);
      !renamed.ok()) {
    if (Exists(aside)) (void)Rename(aside, path);
    return renamed;
  }
  TUNESMITH_RETURN_IF_ERROR(SyncDirectory(CheckpointsOf(run_directory)));
  Remove(aside);
  return absl::OkStatus();
}

absl::Status RecoverCheckpoints(const std::string& run_directory) {
  const std::string directory = CheckpointsOf(run_directory);
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(directory));
  for (const std::string& name : names) {
    if (!name.starts_with(kStepPrefix)) continue;
    const std::string path = StrCat(directory, "/", name);
    if (name.ends_with(kPartial)) Remove(path);
    if (!name.ends_with(kReplaced)) continue;
    const std::string place = path.substr(0, path.size() - kReplaced.size());
    if (Exists(place)) {
      Remove(path);
    } else {
      TUNESMITH_RETURN_IF_ERROR(Rename(path, place));
    }
  }
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer
