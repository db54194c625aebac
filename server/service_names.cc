#include "server/service_names.h"

#include "tunesmith/v1/calibrations.grpc.pb.h"
#include "tunesmith/v1/clusters.grpc.pb.h"
#include "tunesmith/v1/jobs.grpc.pb.h"
#include "tunesmith/v1/measurements.grpc.pb.h"
#include "tunesmith/v1/recommender.grpc.pb.h"

namespace tunesmith::server {

std::vector<std::string> ServiceNames() {
  return {v1::RecommenderService::service_full_name(), v1::JobService::service_full_name(),
          v1::ClusterService::service_full_name(), v1::MeasurementService::service_full_name(),
          v1::CalibrationService::service_full_name()};
}

}  // namespace tunesmith::server
