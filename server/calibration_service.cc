#include "server/calibration_service.h"

#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "server/calibration_requests.h"
#include "server/error_info.h"
#include "server/requests.h"
#include "server/unary.h"

namespace tunesmith::server {
namespace {

constexpr char kHostLauncher[] = "host";

template <typename Response>
grpc::ServerUnaryReactor* ReplyRun(grpc::CallbackServerContext* context,
                                   absl::StatusOr<v1::CalibrationRun> run, Response* response) {
  absl::StatusOr<Response> result = run.ok() ? absl::StatusOr<Response>(Response()) : run.status();
  if (run.ok()) *result->mutable_run() = *std::move(run);
  return Reply(context, std::move(result), response);
}

template <typename Response>
grpc::ServerUnaryReactor* ReplyRecord(grpc::CallbackServerContext* context,
                                      absl::StatusOr<v1::CalibrationRecord> record,
                                      Response* response) {
  absl::StatusOr<Response> result =
      record.ok() ? absl::StatusOr<Response>(Response()) : record.status();
  if (record.ok()) *result->mutable_calibration() = *std::move(record);
  return Reply(context, std::move(result), response);
}

absl::Status CheckIdle(Store& store) {
  for (const v1::JobState state : {v1::JOB_STATE_LAUNCHING, v1::JOB_STATE_RUNNING}) {
    TUNESMITH_ASSIGN_OR_RETURN(const std::vector<JobRecord> jobs,
                               store.JobsInState(state, kHostLauncher, 1));
    if (jobs.empty()) continue;
    const std::string& name = jobs.front().job.name();
    return WithReason(absl::FailedPreconditionError(
                          StrCat(name,
                                 " runs on this host, which could not be measured well "
                                 "meanwhile; wait for its end, or leave refuse_if_busy out")),
                      "HOST_IS_BUSY", {{"job", name}});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::StartCalibrationResponse> CalibrationService::Start(
    const v1::StartCalibrationRequest& request) {
  TUNESMITH_ASSIGN_OR_RETURN(const v1::CalibrationSpec spec, CheckStart(request, catalog_, roots_));
  const RequestKey key = KeyOf("StartCalibration", request.request_id(), request);
  TUNESMITH_ASSIGN_OR_RETURN(const auto before, AnswerBefore(store_.pool(), key));
  if (!before && request.refuse_if_busy()) TUNESMITH_RETURN_IF_ERROR(CheckIdle(store_));
  return runs_.Start(spec, key);
}

// The file and the answer are not written at once: a server that is killed in between imports the same file again.
absl::StatusOr<v1::ImportCalibrationResponse> CalibrationService::Import(
    const v1::ImportCalibrationRequest& request) {
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Calibration calibration,
                             CheckImport(request, catalog_));
  const RequestKey key = KeyOf("ImportCalibration", request.request_id(), request);
  TUNESMITH_ASSIGN_OR_RETURN(auto answer, AnswerBefore(store_.pool(), key));
  v1::ImportCalibrationResponse response;
  if (!answer) {
    TUNESMITH_ASSIGN_OR_RETURN(*response.mutable_calibration(), calibrations_.Import(calibration));
    TUNESMITH_RETURN_IF_ERROR(store_.pool().Write([&](Database& database) -> absl::Status {
      TUNESMITH_ASSIGN_OR_RETURN(answer, StoredAnswer(database, key));
      return answer ? absl::OkStatus() : StoreAnswer(database, key, response);
    }));
  }
  if (answer) response.ParseFromString(*answer);
  return response;
}

grpc::ServerUnaryReactor* CalibrationService::StartCalibration(
    grpc::CallbackServerContext* context, const v1::StartCalibrationRequest* request,
    v1::StartCalibrationResponse* response) {
  return Reply(context, Start(*request), response);
}

grpc::ServerUnaryReactor* CalibrationService::GetCalibrationRun(
    grpc::CallbackServerContext* context, const v1::GetCalibrationRunRequest* request,
    v1::GetCalibrationRunResponse* response) {
  return ReplyRun(context, runs_.Get(request->name()), response);
}

grpc::ServerUnaryReactor* CalibrationService::ListCalibrationRuns(
    grpc::CallbackServerContext* context, const v1::ListCalibrationRunsRequest* request,
    v1::ListCalibrationRunsResponse* response) {
  return Reply(context, runs_.List(*request), response);
}

grpc::ServerUnaryReactor* CalibrationService::CancelCalibrationRun(
    grpc::CallbackServerContext* context, const v1::CancelCalibrationRunRequest* request,
    v1::CancelCalibrationRunResponse* response) {
  return ReplyRun(context, runs_.RequestCancel(request->name()), response);
}

grpc::ServerUnaryReactor* CalibrationService::ListCalibrations(
    grpc::CallbackServerContext* context, const v1::ListCalibrationsRequest* request,
    v1::ListCalibrationsResponse* response) {
  return Reply(context, calibrations_.List(*request), response);
}

grpc::ServerUnaryReactor* CalibrationService::GetCalibration(
    grpc::CallbackServerContext* context, const v1::GetCalibrationRequest* request,
    v1::GetCalibrationResponse* response) {
  return ReplyRecord(context, calibrations_.Get(request->name()), response);
}

grpc::ServerUnaryReactor* CalibrationService::ImportCalibration(
    grpc::CallbackServerContext* context, const v1::ImportCalibrationRequest* request,
    v1::ImportCalibrationResponse* response) {
  return Reply(context, Import(*request), response);
}

grpc::ServerUnaryReactor* CalibrationService::DeleteCalibration(
    grpc::CallbackServerContext* context, const v1::DeleteCalibrationRequest* request,
    v1::DeleteCalibrationResponse* response) {
  return ReplyRecord(context, calibrations_.Delete(request->name()), response);
}

}  // namespace tunesmith::server
