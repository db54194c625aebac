#include "server/calibrations.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/message_differencer.h"
#include "proto/convert/calibration_import.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/prediction.h"
#include "proto/convert/run_directory.h"
#include "server/error_info.h"

namespace tunesmith::server {
namespace {

using convert::StoredCalibration;

int64_t ChangedNanos(const std::string& directory) {
  struct stat info = {};
  if (stat(directory.c_str(), &info) != 0) return 0;
  return info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec;
}

}  // namespace

Calibrations::Calibrations(std::string data_directory, std::optional<planner::Calibration> fixed,
                           CalibrationHistory& history, std::function<void(const std::string&)> log)
    : data_directory_(std::move(data_directory)),
      fixed_(std::move(fixed)),
      history_(history),
      log_(std::move(log)) {}

// Two changes may fall into one tick of the file system's clock.
void Calibrations::LookAgain() {
  std::lock_guard lock(mutex_);
  directory_nanos_ = -1;
}

std::optional<planner::Calibration> Calibrations::Find(std::string_view device_name,
                                                       planner::Precision precision) {
  const bool is_fixed = fixed_ && fixed_->device_name == device_name;
  if (is_fixed && fixed_->precision == precision) return fixed_;
  std::lock_guard lock(mutex_);
  Refresh();
  if (const auto* const found = newest_.Find(device_name, precision)) return *found;
  if (is_fixed) return planner::InPrecision(*fixed_, precision);
  return newest_.FindBest(device_name, precision);
}

int64_t Calibrations::version() {
  std::lock_guard lock(mutex_);
  Refresh();
  return version_;
}

// Finished files are renamed into the directory, which changes the directory's time.
void Calibrations::Refresh() {
  const int64_t changed =
      ChangedNanos(convert::InDirectory(data_directory_, convert::kCalibrationsDirectory));
  if (changed != directory_nanos_) {
    const std::vector<StoredCalibration> stored = convert::StoredCalibrations(data_directory_);
    newest_ = convert::NewestCalibrations(stored);
    ++version_;
    unstored_.emplace();
    for (const StoredCalibration& file : stored) {
      if (file.calibration.ok()) unstored_->push_back(convert::ToProto(*file.calibration));
      if (!file.calibration.ok())
        log_(StrCat("a calibration is passed over: ", file.calibration.status().message()));
    }
    directory_nanos_ = changed;
  }
  if (unstored_) StoreHistory();
}

// A database that cannot be written now is tried again at the next look, and told of once.
void Calibrations::StoreHistory() {
  absl::Status status = history_.Sync(*unstored_);
  if (status.ok() && fixed_) status = history_.Add(convert::ToProto(*fixed_), "operator");
  if (status.ok()) unstored_.reset();
  if (!status.ok() && status != history_status_)
    log_(StrCat("the history of calibrations: ",
                status.ToString(absl::StatusToStringMode::kWithNoExtraData)));
  history_status_ = status;
}

void Calibrations::SetUse(v1::CalibrationRecord& record) {
  if (record.use() == v1::CALIBRATION_USE_DELETED) return;
  const v1::Calibration& c = record.calibration();
  const std::optional<planner::Calibration> used = Find(c.device_name(), convert::PrecisionOf(c));
  const bool here = convert::BelongsHere(c.device_name(), c.fingerprint());
  record.set_use(used && used->id == c.id() ? v1::CALIBRATION_USE_IN_USE
                 : here                     ? v1::CALIBRATION_USE_OLDER
                                            : v1::CALIBRATION_USE_FOREIGN);
}

absl::StatusOr<v1::ListCalibrationsResponse> Calibrations::List(
    const v1::ListCalibrationsRequest& request) {
  (void)version();  // sees what has come meanwhile
  TUNESMITH_ASSIGN_OR_RETURN(v1::ListCalibrationsResponse response, history_.List(request));
  for (v1::CalibrationRecord& record : *response.mutable_calibrations()) SetUse(record);
  return response;
}

absl::StatusOr<v1::CalibrationRecord> Calibrations::Get(const std::string& name) {
  (void)version();
  TUNESMITH_ASSIGN_OR_RETURN(v1::CalibrationRecord record, history_.Get(name));
  SetUse(record);
  return record;
}

absl::StatusOr<v1::CalibrationRecord> Calibrations::Import(
    const planner::Calibration& calibration) {
  const v1::Calibration proto = convert::ToProto(calibration);
  const absl::StatusOr<v1::CalibrationRecord> known = Get(CalibrationName(calibration.id));
  if (known.ok() &&
      !google::protobuf::util::MessageDifferencer::Equals(known->calibration(), proto)) {
    return WithReason(absl::AlreadyExistsError(StrCat(
                          known->name(), known->has_delete_time() ? ", which was deleted," : "",
                          " is another calibration; give this one another id")),
                      "CALIBRATION_ID_TAKEN", {{"id", calibration.id}});
  }
  TUNESMITH_RETURN_IF_ERROR(convert::StoreImport(data_directory_, calibration));
  LookAgain();
  TUNESMITH_RETURN_IF_ERROR(history_.Add(proto, "imported"));
  TUNESMITH_ASSIGN_OR_RETURN(v1::CalibrationRecord record, Get(CalibrationName(calibration.id)));
  convert::ClearTables(*record.mutable_calibration());
  return record;
}

absl::StatusOr<v1::CalibrationRecord> Calibrations::Delete(const std::string& name) {
  TUNESMITH_ASSIGN_OR_RETURN(v1::CalibrationRecord record, Get(name));
  if (fixed_ && fixed_->id == record.calibration().id())
    return WithReason(
        absl::FailedPreconditionError(
            StrCat(name, " was fixed by the operator; start tunesmithd without --calibration")),
        "CALIBRATION_IS_FIXED", {{"calibration", name}});
  for (const StoredCalibration& file : convert::StoredCalibrations(data_directory_)) {
    if (!file.calibration.ok() || file.calibration->id != record.calibration().id()) continue;
    std::error_code error;
    std::filesystem::remove(file.path, error);
    if (error) return absl::ErrnoToStatus(error.value(), StrCat("cannot remove ", file.path));
  }
  LookAgain();
  TUNESMITH_ASSIGN_OR_RETURN(record, Get(name));
  convert::ClearTables(*record.mutable_calibration());
  return record;
}

}  // namespace tunesmith::server
