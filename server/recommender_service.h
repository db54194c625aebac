#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/answer_cache.h"
#include "server/calibrations.h"
#include "server/catalog.h"
#include "server/drift.h"
#include "server/search_pool.h"
#include "tunesmith/v1/recommender.grpc.pb.h"

namespace tunesmith::server {

inline constexpr int kMaxBatchCount = 100;

// tunesmith.v1.RecommenderService, answered by the linked planner. Recommend takes and gives bytes:
// an answer that is known leaves without being parsed or copied. Searches run on a pool of their
// own. Catalog, calibrations and drift outlive the service.
class RecommenderService final : public v1::RecommenderService::WithRawCallbackMethod_Recommend<
                                     v1::RecommenderService::CallbackService> {
 public:
  // At most `cache_bytes` of answers are kept.
  RecommenderService(Catalog& catalog, Calibrations& calibrations, const Drift& drift,
                     size_t cache_bytes);

  // Calls that wait for a thread to search.
  size_t waiting_count() { return pool_.waiting_count(); }

  // No search runs afterwards. REQUIRES: no call is in progress that has not been answered.
  void Stop() { pool_.Stop(); }

  grpc::ServerUnaryReactor* Recommend(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* request,
                                      grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* BatchRecommend(grpc::CallbackServerContext* context,
                                           const v1::BatchRecommendRequest* request,
                                           v1::BatchRecommendResponse* response) override;
  grpc::ServerUnaryReactor* Estimate(grpc::CallbackServerContext* context,
                                     const v1::EstimateRequest* request,
                                     v1::EstimateResponse* response) override;
  grpc::ServerUnaryReactor* Size(grpc::CallbackServerContext* context,
                                 const v1::SizeRequest* request,
                                 v1::SizeResponse* response) override;
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;
  grpc::ServerUnaryReactor* CreateModel(grpc::CallbackServerContext* context,
                                        const v1::CreateModelRequest* request,
                                        v1::CreateModelResponse* response) override;
  grpc::ServerUnaryReactor* ListGpus(grpc::CallbackServerContext* context,
                                     const v1::ListGpusRequest* request,
                                     v1::ListGpusResponse* response) override;
  grpc::ServerUnaryReactor* GetGpu(grpc::CallbackServerContext* context,
                                   const v1::GetGpuRequest* request,
                                   v1::GetGpuResponse* response) override;
  grpc::ServerUnaryReactor* CreateGpu(grpc::CallbackServerContext* context,
                                      const v1::CreateGpuRequest* request,
                                      v1::CreateGpuResponse* response) override;

 private:
  std::string KeyFor(const v1::RecommendRequest& request);
  absl::StatusOr<grpc::ByteBuffer> Search(v1::RecommendRequest request, const std::string& key,
                                          absl::Time deadline);
  v1::BatchRecommendResult AnswerOne(const v1::RecommendRequest& request, absl::Time deadline);

  Catalog& catalog_;
  Calibrations& calibrations_;
  const Drift& drift_;
  AnswerCache cache_;
  SearchPool pool_;
};

}  // namespace tunesmith::server
