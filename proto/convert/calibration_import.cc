#include "proto/convert/calibration_import.h"

#include "common/file.h"
#include "common/host_fingerprint.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/message_differencer.h"
#include "planner/price/calibration_import.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/json.h"
#include "proto/convert/prediction.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::convert {

absl::StatusOr<planner::Calibration> CheckImport(const v1::Calibration& proto,
                                                 std::string_view field) {
  Violations violations;
  planner::Calibration calibration = CalibrationFromProto(proto, field, violations);
  if (violations.empty())
    violations.AddStatus(field, planner::ValidateImportedCalibration(calibration));
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  if (BelongsHere(calibration)) return calibration;
  return absl::FailedPreconditionError(
      StrCat("calibration '", calibration.id, "' was measured on \"", calibration.fingerprint,
             "\" and this host is \"", HostFingerprint(),
             "\"; rates of a processor say nothing of another: calibrate here"));
}

absl::Status StoreImport(const std::string& data_directory,
                         const planner::Calibration& calibration) {
  const v1::Calibration proto = ToProto(calibration);
  for (const StoredCalibration& file : StoredCalibrations(data_directory)) {
    if (!file.calibration.ok() || file.calibration->id != calibration.id) continue;
    if (google::protobuf::util::MessageDifferencer::Equals(ToProto(*file.calibration), proto))
      return absl::OkStatus();
    return absl::AlreadyExistsError(StrCat("there is another calibration with the id \"",
                                           calibration.id, "\" (", file.path,
                                           "); delete it first, or give this one another id"));
  }
  const std::string directory = InDirectory(data_directory, kCalibrationsDirectory);
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(directory));
  return WriteJsonFile(StrCat(directory, "/", calibration.id, ".json"), proto);
}

void ClearTables(v1::Calibration& calibration) {
  calibration.clear_gemm();
  calibration.clear_attention();
  calibration.clear_rates();
}

}  // namespace tunesmith::convert
