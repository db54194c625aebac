#include "server/calibration_runs.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/violations.h"
#include "server/error_info.h"
#include "server/job_requests.h"

namespace tunesmith::server {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::string_view kNamePrefix = "calibrationRuns/";
// Of v1.CalibrationRunState: QUEUED and RUNNING.
constexpr char kIsActive[] = "state IN (1, 2)";

std::string RunName(int64_t id) { return StrCat(kNamePrefix, id); }

absl::StatusOr<int64_t> RunId(const std::string& name) {
  int64_t id = 0;
  if (name.starts_with(kNamePrefix) && absl::SimpleAtoi(name.substr(kNamePrefix.size()), &id) &&
      RunName(id) == name)
    return id;
  return WithReason(absl::InvalidArgumentError(StrCat(
                        "\"", name, "\" is not the name of a run, such as \"calibrationRuns/7\"")),
                    "MALFORMED_NAME");
}

std::string StateName(v1::CalibrationRunState state) {
  return v1::CalibrationRunState_Name(state).substr(
      std::string_view("CALIBRATION_RUN_STATE_").size());
}

bool HasEnded(const v1::CalibrationRun& run) {
  return run.state() != v1::CALIBRATION_RUN_STATE_QUEUED &&
         run.state() != v1::CALIBRATION_RUN_STATE_RUNNING;
}

// Of a row (run_id, run).
absl::StatusOr<v1::CalibrationRun> RunOf(const Statement& row) {
  v1::CalibrationRun run;
  if (!run.ParseFromString(row.Bytes(1)))
    return absl::DataLossError("a stored run of a calibration does not parse; restore a backup");
  run.set_name(RunName(row.Integer(0)));
  return run;
}

absl::StatusOr<v1::CalibrationRun> Read(Database& database, const std::string& name) {
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, RunId(name));
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement statement,
      database.Prepare("SELECT run_id, run FROM calibration_runs WHERE run_id = ?"));
  TUNESMITH_ASSIGN_OR_RETURN(const bool found, statement.Bind(id).Step());
  if (found) return RunOf(statement);
  return WithReason(absl::NotFoundError(
                        StrCat("there is no ", name, "; ListCalibrationRuns names all there are")),
                    "CALIBRATION_RUN_NOT_FOUND", {{"run", name}});
}

absl::StatusOr<std::vector<v1::CalibrationRun>> ReadActive(Database& database) {
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement statement,
      database.Prepare(StrCat("SELECT run_id, run FROM calibration_runs WHERE ", kIsActive,
                              " ORDER BY run_id")));
  std::vector<v1::CalibrationRun> runs;
  while (true) {
    TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return runs;
    TUNESMITH_ASSIGN_OR_RETURN(runs.emplace_back(), RunOf(statement));
  }
}

absl::Status CheckFree(Database& database, const std::string& device) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<v1::CalibrationRun> active, ReadActive(database));
  for (const v1::CalibrationRun& run : active) {
    if (run.spec().device() != device) continue;
    return WithReason(
        absl::FailedPreconditionError(
            StrCat(run.name(), " of ", device, " is ", StateName(run.state()),
                   "; wait for its end, or cancel it: tunesmith calibration cancel ", run.name())),
        "CALIBRATION_RUNS_ALREADY", {{"run", run.name()}, {"device", device}});
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::CalibrationRun> Insert(Database& database, const v1::CalibrationSpec& spec) {
  v1::CalibrationRun run;
  run.set_state(v1::CALIBRATION_RUN_STATE_QUEUED);
  *run.mutable_spec() = spec;
  *run.mutable_create_time() = TimeUtil::GetCurrentTime();
  TUNESMITH_ASSIGN_OR_RETURN(
      Statement insert,
      database.Prepare("INSERT INTO calibration_runs (device, state, run) VALUES (?, ?, ?)"));
  TUNESMITH_RETURN_IF_ERROR(
      insert.BindText(spec.device()).Bind(run.state()).BindBlob(run.SerializeAsString()).Run());
  run.set_name(RunName(database.LastInsertRowId()));
  return run;
}

}  // namespace

absl::StatusOr<v1::StartCalibrationResponse> CalibrationRuns::Start(const v1::CalibrationSpec& spec,
                                                                    const RequestKey& key) {
  return pool_.Write([&](Database& database) -> absl::StatusOr<v1::StartCalibrationResponse> {
    v1::StartCalibrationResponse response;
    TUNESMITH_ASSIGN_OR_RETURN(const auto stored, StoredAnswer(database, key));
    if (stored && response.ParseFromString(*stored)) return response;
    TUNESMITH_RETURN_IF_ERROR(CheckFree(database, spec.device()));
    TUNESMITH_ASSIGN_OR_RETURN(*response.mutable_run(), Insert(database, spec));
    TUNESMITH_RETURN_IF_ERROR(StoreAnswer(database, key, response));
    return response;
  });
}

absl::StatusOr<v1::CalibrationRun> CalibrationRuns::Get(const std::string& name) {
  return pool_.Read([&](Database& database) { return Read(database, name); });
}

absl::StatusOr<v1::ListCalibrationRunsResponse> CalibrationRuns::List(
    const v1::ListCalibrationRunsRequest& request) {
  convert::Violations violations;
  const int64_t size = PageSize(request.page_size(), violations);
  const int64_t before_id = BeforeId("calibration runs", request.page_token(), violations);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  return pool_.Read([&](Database& database) -> absl::StatusOr<v1::ListCalibrationRunsResponse> {
    TUNESMITH_ASSIGN_OR_RETURN(Statement statement,
                               database.Prepare("SELECT run_id, run FROM calibration_runs WHERE "
                                                "(?1 = 0 OR run_id < ?1) "
                                                "ORDER BY run_id DESC LIMIT ?2"));
    statement.Bind(before_id).Bind(size + 1);
    v1::ListCalibrationRunsResponse response;
    int64_t last_id = 0;
    while (true) {
      TUNESMITH_ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) return response;
      if (response.runs_size() == size) {
        response.set_next_page_token(PageToken("calibration runs", last_id));
        return response;
      }
      last_id = statement.Integer(0);
      TUNESMITH_ASSIGN_OR_RETURN(*response.add_runs(), RunOf(statement));
    }
  });
}

absl::StatusOr<std::vector<v1::CalibrationRun>> CalibrationRuns::Active() {
  return pool_.Read(ReadActive);
}

absl::StatusOr<v1::CalibrationRun> CalibrationRuns::Update(const std::string& name,
                                                           const Change& change) {
  return pool_.Write([&](Database& database) -> absl::StatusOr<v1::CalibrationRun> {
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, RunId(name));
    TUNESMITH_ASSIGN_OR_RETURN(v1::CalibrationRun run, Read(database, name));
    TUNESMITH_RETURN_IF_ERROR(change(run));
    TUNESMITH_ASSIGN_OR_RETURN(
        Statement update,
        database.Prepare("UPDATE calibration_runs SET state = ?, run = ? WHERE run_id = ?"));
    TUNESMITH_RETURN_IF_ERROR(
        update.Bind(run.state()).BindBlob(run.SerializeAsString()).Bind(id).Run());
    return run;
  });
}

absl::StatusOr<v1::CalibrationRun> CalibrationRuns::RequestCancel(const std::string& name) {
  return Update(name, [](v1::CalibrationRun& run) -> absl::Status {
    if (HasEnded(run)) {
      return WithReason(
          absl::FailedPreconditionError(
              StrCat(run.name(), " is ", StateName(run.state()), " and cannot be cancelled")),
          "CALIBRATION_RUN_HAS_ENDED", {{"run", run.name()}, {"state", StateName(run.state())}});
    }
    run.set_cancel_requested(true);
    if (run.state() == v1::CALIBRATION_RUN_STATE_QUEUED)
      EndRun(run, v1::CALIBRATION_RUN_STATE_CANCELLED, "cancelled before it measured");
    return absl::OkStatus();
  });
}

void EndRun(v1::CalibrationRun& run, v1::CalibrationRunState state, const std::string& reason) {
  run.set_state(state);
  run.set_reason(reason);
  *run.mutable_end_time() = TimeUtil::GetCurrentTime();
}

}  // namespace tunesmith::server
