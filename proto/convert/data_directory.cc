#include "proto/convert/data_directory.h"

#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/time/time.h"
#include "common/host_fingerprint.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/prediction.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::convert {
namespace {

absl::Time MeasuredAt(const planner::Calibration& calibration) {
  absl::Time time;
  return absl::ParseTime(absl::RFC3339_full, calibration.measured_at, &time, nullptr)
             ? time
             : absl::InfinitePast();
}

}  // namespace

std::string DefaultDataDirectory() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state && *state)
    return InDirectory(state, "tunesmith");
  if (const char* home = std::getenv("HOME"); home && *home)
    return InDirectory(home, ".local/state/tunesmith");
  return "/var/lib/tunesmith";
}

absl::StatusOr<planner::Calibration> ReadCalibrationFile(const std::string& path) {
  v1::Calibration proto;
  TUNESMITH_RETURN_IF_ERROR(ReadJsonFile(path, &proto));
  Violations violations;
  planner::Calibration calibration = CalibrationFromProto(proto, "", violations);
  const absl::Status status = violations.ToStatus();
  if (!status.ok()) return absl::InvalidArgumentError(StrCat(path, ": ", status.message()));
  return calibration;
}

std::vector<StoredCalibration> StoredCalibrations(const std::string& data_directory) {
  std::vector<StoredCalibration> stored;
  std::error_code error;
  std::filesystem::directory_iterator entry(InDirectory(data_directory, kCalibrationsDirectory),
                                            error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string path = entry->path().string();
    if (entry->path().extension() == ".json") stored.push_back({path, ReadCalibrationFile(path)});
  }
  return stored;
}

bool BelongsHere(std::string_view device_name, std::string_view fingerprint) {
  return device_name != "cpu" || fingerprint == HostFingerprint();
}

bool BelongsHere(const planner::Calibration& calibration) {
  return BelongsHere(calibration.device_name, calibration.fingerprint);
}

NewestCalibrations::NewestCalibrations(const std::vector<StoredCalibration>& stored) {
  for (const auto& [path, calibration] : stored) {
    if (!calibration.ok() || !BelongsHere(*calibration)) continue;
    const auto [known, added] =
        newest_.emplace(std::pair(calibration->device_name, calibration->precision), *calibration);
    if (!added && MeasuredAt(*calibration) > MeasuredAt(known->second))
      known->second = *calibration;
  }
}

const planner::Calibration* NewestCalibrations::Find(std::string_view device_name,
                                                     planner::Precision precision) const {
  const auto found = newest_.find({std::string(device_name), precision});
  return found == newest_.end() ? nullptr : &found->second;
}

std::optional<planner::Calibration> NewestCalibrations::FindBest(
    std::string_view device_name, planner::Precision precision) const {
  for (const planner::Precision known :
       {precision, planner::Precision::kFp32, planner::Precision::kBf16}) {
    if (const planner::Calibration* const found = Find(device_name, known))
      return planner::InPrecision(*found, precision);
  }
  return std::nullopt;
}

std::optional<planner::Calibration> NewestCalibration(const std::string& data_directory,
                                                      std::string_view device_name,
                                                      planner::Precision precision) {
  return NewestCalibrations(StoredCalibrations(data_directory)).FindBest(device_name, precision);
}

}  // namespace tunesmith::convert
