#include "server/calibration_history.h"

#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/calibration_import.h"
#include "proto/convert/mix.h"
#include "proto/convert/prediction.h"
#include "proto/convert/violations.h"
#include "server/error_info.h"
#include "server/job_requests.h"

namespace tunesmith::server {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::string_view kNamePrefix = "calibrations/";
constexpr char kColumns[] = "row_id, source, create_micros, delete_micros, calibration";

int64_t NowMicros() { return absl::ToUnixMicros(absl::Now()); }

// Of a row of kColumns.
absl::StatusOr<v1::CalibrationRecord> RecordOf(const Statement& row) {
  v1::CalibrationRecord record;
  v1::Calibration& calibration = *record.mutable_calibration();
  if (!calibration.ParseFromString(row.Bytes(4)))
    return absl::DataLossError("a stored calibration does not parse; restore a backup");
  // Those of before calibrations had one.
  calibration.set_precision(convert::ToProto(std::optional(convert::PrecisionOf(calibration))));
  record.set_name(CalibrationName(calibration.id()));
  record.set_source(row.Bytes(1));
  *record.mutable_create_time() = TimeUtil::MicrosecondsToTimestamp(row.Integer(2));
  record.set_point_count(calibration.gemm_size() + calibration.attention_size() +
                         calibration.rates_size());
  if (row.Integer(3) == 0) return record;
  *record.mutable_delete_time() = TimeUtil::MicrosecondsToTimestamp(row.Integer(3));
  record.set_use(v1::CALIBRATION_USE_DELETED);
  return record;
}

absl::Status Insert(Database& database, const v1::Calibration& calibration,
                    const std::string& source, const char* on_conflict) {
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement insert,
      database.Prepare(StrCat("INSERT INTO calibrations (id, device_name, source, create_micros, "
                              "calibration) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) ",
                              on_conflict)));
  return insert.BindText(calibration.id())
      .BindText(calibration.device_name())
      .BindText(source)
      .Bind(NowMicros())
      .BindBlob(calibration.SerializeAsString())
      .Run();
}

}  // namespace

std::string CalibrationName(const std::string& id) { return StrCat(kNamePrefix, id); }

absl::StatusOr<std::string> CalibrationId(const std::string& name) {
  if (name.starts_with(kNamePrefix) && name.size() > kNamePrefix.size())
    return name.substr(kNamePrefix.size());
  return WithReason(
      absl::InvalidArgumentError(StrCat("\"", name,
                                        "\" is not the name of a calibration, such as "
                                        "\"calibrations/cpu-fp32-20260301T101500\"")),
      "MALFORMED_NAME");
}

absl::Status CalibrationHistory::Add(const v1::Calibration& calibration,
                                     const std::string& source) {
  return pool_.Write([&](Database& database) {
    return Insert(database, calibration, source,
                  "DO UPDATE SET source = excluded.source, delete_micros = 0");
  });
}

absl::Status CalibrationHistory::Sync(const std::vector<v1::Calibration>& present) {
  return pool_.Write([&](Database& database) -> absl::Status {
    TUNESMITH_RETURN_IF_ERROR(database.Execute(
        "CREATE TEMP TABLE IF NOT EXISTS present_calibrations (id TEXT PRIMARY KEY); "
        "DELETE FROM present_calibrations"));
    for (const v1::Calibration& calibration : present) {
      TUNESMITH_RETURN_IF_ERROR(Insert(database, calibration, "file", "DO NOTHING"));
      TUNESMITH_ASSIGN_OR_RETURN(
          Statement note,
          database.Prepare("INSERT OR IGNORE INTO present_calibrations (id) VALUES (?)"));
      TUNESMITH_RETURN_IF_ERROR(note.BindText(calibration.id()).Run());
    }
    TUNESMITH_RETURN_IF_ERROR(
        database.Execute("UPDATE calibrations SET delete_micros = 0 "
                         "WHERE delete_micros > 0 AND id IN present_calibrations"));
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement gone, database.Prepare("UPDATE calibrations SET delete_micros = ? WHERE "
                                         "delete_micros = 0 AND id NOT IN present_calibrations"));
    return gone.Bind(NowMicros()).Run();
  });
}

absl::StatusOr<v1::CalibrationRecord> CalibrationHistory::Get(const std::string& name) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string id, CalibrationId(name));
  return pool_.Read([&](Database& database) -> absl::StatusOr<v1::CalibrationRecord> {
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement statement,
        database.Prepare(StrCat("SELECT ", kColumns, " FROM calibrations WHERE id = ?")));
    TUNESMITH_ASSIGN_OR_RETURN(const bool found, statement.BindText(id).Step());
    if (found) return RecordOf(statement);
    return WithReason(
        absl::NotFoundError(StrCat("there is no ", name, "; ListCalibrations names all there are")),
        "CALIBRATION_NOT_FOUND", {{"calibration", name}});
  });
}

absl::StatusOr<v1::ListCalibrationsResponse> CalibrationHistory::List(
    const v1::ListCalibrationsRequest& request) {
  convert::Violations violations;
  const int64_t size = PageSize(request.page_size(), violations);
  const std::string query =
      StrCat("calibrations of ", request.device_name(), " ", request.show_deleted());
  const int64_t before_id = BeforeId(query, request.page_token(), violations);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  return pool_.Read([&](Database& database) -> absl::StatusOr<v1::ListCalibrationsResponse> {
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement statement,
        database.Prepare(StrCat("SELECT ", kColumns,
                                " FROM calibrations WHERE (?1 = '' OR device_name = ?1) AND "
                                "(?2 = 0 OR row_id < ?2) AND (?3 = 1 OR delete_micros = 0) "
                                "ORDER BY row_id DESC LIMIT ?4")));
    statement.BindText(request.device_name())
        .Bind(before_id)
        .Bind(request.show_deleted() ? 1 : 0)
        .Bind(size + 1);
    v1::ListCalibrationsResponse response;
    int64_t last_id = 0;
    while (true) {
      TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) return response;
      if (response.calibrations_size() == size) {
        response.set_next_page_token(PageToken(query, last_id));
        return response;
      }
      last_id = statement.Integer(0);
      TUNESMITH_ASSIGN_OR_RETURN(v1::CalibrationRecord record, RecordOf(statement));
      convert::ClearTables(*record.mutable_calibration());
      *response.add_calibrations() = std::move(record);
    }
  });
}

}  // namespace tunesmith::server
