#include "client/local_measurements.h"

#include <algorithm>
#include <filesystem>

#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/measurement.h"
#include "proto/convert/run_directory.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::client {

absl::StatusOr<std::vector<v1::Measurement>> LocalMeasurements(const std::string& jobs_directory) {
  std::error_code error;
  std::vector<v1::Measurement> measurements;
  std::vector<std::string> runs;
  for (std::filesystem::directory_iterator entry(jobs_directory, error), end;
       !error && entry != end; entry.increment(error))
    runs.push_back(entry->path().string());
  if (error)
    return absl::ErrnoToStatus(error.value(), StrCat("cannot list the jobs in ", jobs_directory));
  std::sort(runs.begin(), runs.end());
  for (const std::string& run : runs) {
    v1::Plan plan;
    v1::JobExit exit;
    constexpr auto kIgnore = convert::UnknownFields::kIgnore;
    if (!convert::ReadJsonFile(convert::InDirectory(run, convert::kPlanFile), &plan, kIgnore)
             .ok() ||
        !convert::ReadJsonFile(convert::InDirectory(run, convert::kExitFile), &exit, kIgnore)
             .ok() ||
        !exit.has_summary())
      continue;
    const bool on_cpu = plan.inputs().devices().hardware().compute_capability() == 0;
    measurements.push_back(
        convert::MeasurementOf(plan, convert::FiguresOf(exit.summary(), on_cpu)));
    measurements.back().set_job(std::filesystem::path(run).filename().string());
    measurements.back().set_source("trainer");
  }
  return measurements;
}

}  // namespace tunesmith::client
