#include "client/local_calibrations.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/model/hardware.h"
#include "proto/convert/calibration_import.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/prediction.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::client {
namespace {

using convert::NewestCalibrations;
using convert::StoredCalibration;

constexpr std::string_view kNamePrefix = "calibrations/";

class LocalCalibrations final : public CalibrationLibrary {
 public:
  explicit LocalCalibrations(std::string data_directory)
      : data_directory_(std::move(data_directory)) {}

  absl::StatusOr<v1::ListCalibrationsResponse> List(
      const v1::ListCalibrationsRequest& request) override {
    v1::ListCalibrationsResponse response;
    const std::vector<StoredCalibration> stored = Stored();
    const NewestCalibrations newest(stored);
    for (const StoredCalibration& file : stored) {
      if (!file.calibration.ok()) return file.calibration.status();
      if (!request.device_name().empty() && file.calibration->device_name != request.device_name())
        continue;
      v1::CalibrationRecord& record = *response.add_calibrations();
      record = RecordOf(*file.calibration, newest);
      convert::ClearTables(*record.mutable_calibration());
    }
    return response;
  }

  absl::StatusOr<v1::GetCalibrationResponse> Get(const std::string& name) override {
    const std::vector<StoredCalibration> stored = Stored();
    TUNESMITH_ASSIGN_OR_RETURN(const StoredCalibration file, Find(stored, name));
    v1::GetCalibrationResponse response;
    *response.mutable_calibration() = RecordOf(*file.calibration, NewestCalibrations(stored));
    return response;
  }

  absl::StatusOr<v1::ImportCalibrationResponse> Import(
      const v1::ImportCalibrationRequest& request) override {
    TUNESMITH_ASSIGN_OR_RETURN(const planner::Calibration calibration,
                               convert::CheckImport(request.calibration(), ""));
    TUNESMITH_RETURN_IF_ERROR(planner::FindHardware(calibration.device_name).status());
    TUNESMITH_RETURN_IF_ERROR(convert::StoreImport(data_directory_, calibration));
    v1::ImportCalibrationResponse response;
    *response.mutable_calibration() = RecordOf(calibration, NewestCalibrations(Stored()));
    return response;
  }

  absl::StatusOr<v1::DeleteCalibrationResponse> Delete(const std::string& name) override {
    TUNESMITH_ASSIGN_OR_RETURN(const StoredCalibration file, Find(Stored(), name));
    std::error_code error;
    std::filesystem::remove(file.path, error);
    if (error) return absl::ErrnoToStatus(error.value(), StrCat("cannot remove ", file.path));
    v1::DeleteCalibrationResponse response;
    *response.mutable_calibration() = RecordOf(*file.calibration, {});
    response.mutable_calibration()->set_use(v1::CALIBRATION_USE_DELETED);
    return response;
  }

 private:
  // The newest file first, as a server lists them.
  std::vector<StoredCalibration> Stored() const {
    std::vector<StoredCalibration> stored = convert::StoredCalibrations(data_directory_);
    std::sort(stored.begin(), stored.end(),
              [](const auto& a, const auto& b) { return a.path > b.path; });
    return stored;
  }

  absl::StatusOr<StoredCalibration> Find(const std::vector<StoredCalibration>& stored,
                                         const std::string& name) const {
    for (const StoredCalibration& file : stored)
      if (file.calibration.ok() && StrCat(kNamePrefix, file.calibration->id) == name) return file;
    return absl::NotFoundError(
        StrCat("there is no ", name, " in ",
               convert::InDirectory(data_directory_, convert::kCalibrationsDirectory),
               "; tunesmith calibration list names all there are"));
  }

  static v1::CalibrationRecord RecordOf(const planner::Calibration& calibration,
                                        const NewestCalibrations& newest) {
    v1::CalibrationRecord record;
    record.set_name(StrCat(kNamePrefix, calibration.id));
    *record.mutable_calibration() = convert::ToProto(calibration);
    record.set_point_count(static_cast<int64_t>(
        calibration.gemm.size() + calibration.attention.size() + calibration.rates.size()));
    const auto* const used = newest.Find(calibration.device_name, calibration.precision);
    const bool is_used = used != nullptr && used->id == calibration.id;
    record.set_use(!convert::BelongsHere(calibration) ? v1::CALIBRATION_USE_FOREIGN
                   : is_used                          ? v1::CALIBRATION_USE_IN_USE
                                                      : v1::CALIBRATION_USE_OLDER);
    return record;
  }

  const std::string data_directory_;
};

}  // namespace

std::unique_ptr<CalibrationLibrary> MakeLocalCalibrations(const std::string& data_directory) {
  return std::make_unique<LocalCalibrations>(data_directory);
}

}  // namespace tunesmith::client
