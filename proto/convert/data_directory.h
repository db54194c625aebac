#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/price/calibration.h"

// The data directory: what tunesmithd keeps, and where the client looks for calibrations when it
// answers without a server.
//
//   tunesmith.db       plans, jobs, events, measurements and what was added to the catalog
//   lock               held by the server that owns the directory
//   calibrations/      <id>.json, written by tunesmith-profiler or imported; .lock, held by the one that measures
//   calibration-runs/  run-<N>/, the run directory of a calibration that the server started: progress.json (CalibrationProgress), lock (held by the profiler
//                      that runs it), profiler.log; kept-<device>/, what a calibration has measured until it is stored
//   jobs/<id>/         one run directory per job
//   backups/           copies of the database from before its schema was changed
namespace tunesmith::convert {

inline constexpr char kDatabaseFile[] = "tunesmith.db";
inline constexpr char kLockFile[] = "lock";
inline constexpr char kCalibrationsDirectory[] = "calibrations";
inline constexpr char kCalibrationsLockFile[] = ".lock";
inline constexpr char kCalibrationRunsDirectory[] = "calibration-runs";
inline constexpr char kProgressFile[] = "progress.json";
inline constexpr char kRunLockFile[] = "lock";
inline constexpr char kProfilerLogFile[] = "profiler.log";
inline constexpr char kJobsDirectory[] = "jobs";
inline constexpr char kBackupsDirectory[] = "backups";

// $XDG_STATE_HOME/tunesmith, else $HOME/.local/state/tunesmith, else /var/lib/tunesmith.
std::string DefaultDataDirectory();

// The calibration in the file at `path`. Errors of reading it, and INVALID_ARGUMENT naming the file
// and the fields.
absl::StatusOr<planner::Calibration> ReadCalibrationFile(const std::string& path);

// A file of the data directory's calibrations/ and what it holds, or why not.
struct StoredCalibration {
  std::string path;
  absl::StatusOr<planner::Calibration> calibration;
};
std::vector<StoredCalibration> StoredCalibrations(const std::string& data_directory);

// Whether prices on this host may rest on it: rates of a processor belong to the host that they were measured on (HostFingerprint).
bool BelongsHere(const planner::Calibration& calibration);
bool BelongsHere(std::string_view device_name, std::string_view fingerprint);

// Of each device and precision the newest calibration (by measured_at) that belongs here.
class NewestCalibrations {
 public:
  NewestCalibrations() = default;
  explicit NewestCalibrations(const std::vector<StoredCalibration>& stored);

  // Null when there is none.
  const planner::Calibration* Find(std::string_view device_name,
                                   planner::Precision precision) const;
  // The same; where there is none, what one of another precision says of the device (planner::InPrecision).
  std::optional<planner::Calibration> FindBest(std::string_view device_name,
                                               planner::Precision precision) const;

 private:
  std::map<std::pair<std::string, planner::Precision>, planner::Calibration> newest_;
};

// FindBest among the data directory's calibrations/. Files that do not parse are passed over.
std::optional<planner::Calibration> NewestCalibration(const std::string& data_directory,
                                                      std::string_view device_name,
                                                      planner::Precision precision);

}  // namespace tunesmith::convert
