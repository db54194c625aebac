#pragma once

#include "server/measurements.h"
#include "server/unary.h"
#include "tunesmith/v1/measurements.grpc.pb.h"

namespace tunesmith::server {

// tunesmith.v1.MeasurementService. Store and drift outlive the service.
class MeasurementService final : public v1::MeasurementService::CallbackService {
 public:
  MeasurementService(Store& store, Drift& drift) : store_(store), drift_(drift) {}

  grpc::ServerUnaryReactor* ReportMeasurement(grpc::CallbackServerContext* context,
                                              const v1::ReportMeasurementRequest* request,
                                              v1::ReportMeasurementResponse* response) override {
    return Reply(context, server::ReportMeasurement(store_, drift_, *request), response);
  }
  grpc::ServerUnaryReactor* ListMeasurements(grpc::CallbackServerContext* context,
                                             const v1::ListMeasurementsRequest* request,
                                             v1::ListMeasurementsResponse* response) override {
    return Reply(context, server::ListMeasurements(store_, *request), response);
  }

 private:
  Store& store_;
  Drift& drift_;
};

}  // namespace tunesmith::server
