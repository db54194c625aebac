#pragma once

#include "server/calibration_runs.h"
#include "server/calibrations.h"
#include "server/catalog.h"
#include "server/security/path_roots.h"
#include "server/store.h"
#include "tunesmith/v1/calibrations.grpc.pb.h"

namespace tunesmith::server {

// tunesmith.v1.CalibrationService over the runs and calibrations; the calibrator does the rest. All outlive the service.
class CalibrationService final : public v1::CalibrationService::CallbackService {
 public:
  CalibrationService(Store& store, CalibrationRuns& runs, Calibrations& calibrations,
                     const Catalog& catalog, PathRoots roots)
      : store_(store),
        runs_(runs),
        calibrations_(calibrations),
        catalog_(catalog),
        roots_(std::move(roots)) {}

  grpc::ServerUnaryReactor* StartCalibration(grpc::CallbackServerContext* context,
                                             const v1::StartCalibrationRequest* request,
                                             v1::StartCalibrationResponse* response) override;
  grpc::ServerUnaryReactor* GetCalibrationRun(grpc::CallbackServerContext* context,
                                              const v1::GetCalibrationRunRequest* request,
                                              v1::GetCalibrationRunResponse* response) override;
  grpc::ServerUnaryReactor* ListCalibrationRuns(grpc::CallbackServerContext* context,
                                                const v1::ListCalibrationRunsRequest* request,
                                                v1::ListCalibrationRunsResponse* response) override;
  grpc::ServerUnaryReactor* CancelCalibrationRun(
      grpc::CallbackServerContext* context, const v1::CancelCalibrationRunRequest* request,
      v1::CancelCalibrationRunResponse* response) override;
  grpc::ServerUnaryReactor* ListCalibrations(grpc::CallbackServerContext* context,
                                             const v1::ListCalibrationsRequest* request,
                                             v1::ListCalibrationsResponse* response) override;
  grpc::ServerUnaryReactor* GetCalibration(grpc::CallbackServerContext* context,
                                           const v1::GetCalibrationRequest* request,
                                           v1::GetCalibrationResponse* response) override;
  grpc::ServerUnaryReactor* ImportCalibration(grpc::CallbackServerContext* context,
                                              const v1::ImportCalibrationRequest* request,
                                              v1::ImportCalibrationResponse* response) override;
  grpc::ServerUnaryReactor* DeleteCalibration(grpc::CallbackServerContext* context,
                                              const v1::DeleteCalibrationRequest* request,
                                              v1::DeleteCalibrationResponse* response) override;

 private:
  absl::StatusOr<v1::StartCalibrationResponse> Start(const v1::StartCalibrationRequest& request);
  absl::StatusOr<v1::ImportCalibrationResponse> Import(const v1::ImportCalibrationRequest& request);

  Store& store_;
  CalibrationRuns& runs_;
  Calibrations& calibrations_;
  const Catalog& catalog_;
  const PathRoots roots_;
};

}  // namespace tunesmith::server
