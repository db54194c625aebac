#pragma once

#include <string>

#include "proto/convert/answer.h"
#include "tunesmith/v1/recommender.grpc.pb.h"

namespace tunesmith::server {

// tunesmith.v1.RecommenderService, answered by the linked planner.
class RecommenderService final : public v1::RecommenderService::CallbackService {
 public:
  explicit RecommenderService(convert::CalibrationSource calibrations)
      : calibrations_(std::move(calibrations)) {}

  grpc::ServerUnaryReactor* Recommend(grpc::CallbackServerContext* context,
                                      const v1::RecommendRequest* request,
                                      v1::RecommendResponse* response) override;
  grpc::ServerUnaryReactor* Estimate(grpc::CallbackServerContext* context,
                                     const v1::EstimateRequest* request,
                                     v1::EstimateResponse* response) override;
  grpc::ServerUnaryReactor* Size(grpc::CallbackServerContext* context,
                                 const v1::SizeRequest* request,
                                 v1::SizeResponse* response) override;
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* ListGpus(grpc::CallbackServerContext* context,
                                     const v1::ListGpusRequest* request,
                                     v1::ListGpusResponse* response) override;

 private:
  const convert::CalibrationSource calibrations_;
};

}  // namespace tunesmith::server
