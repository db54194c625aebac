#include "server/recommender_service.h"

#include <chrono>

#include "absl/time/clock.h"
#include "proto/convert/size.h"
#include "server/unary.h"

namespace tunesmith::server {
namespace {

// The answer must leave the server before the client stops waiting.
constexpr absl::Duration kReplyMargin = absl::Milliseconds(20);

absl::Time SearchDeadline(const grpc::CallbackServerContext& context) {
  const absl::Time deadline = absl::FromChrono(context.deadline());
  return deadline - absl::Now() > absl::Hours(24 * 365) ? absl::InfiniteFuture()
                                                        : deadline - kReplyMargin;
}

}  // namespace

grpc::ServerUnaryReactor* RecommenderService::Recommend(grpc::CallbackServerContext* context,
                                                        const v1::RecommendRequest* request,
                                                        v1::RecommendResponse* response) {
  return Reply(context, convert::AnswerRecommend(*request, calibrations_, SearchDeadline(*context)),
               response);
}

grpc::ServerUnaryReactor* RecommenderService::Estimate(grpc::CallbackServerContext* context,
                                                       const v1::EstimateRequest* request,
                                                       v1::EstimateResponse* response) {
  return Reply(context, convert::AnswerEstimate(*request, calibrations_), response);
}

grpc::ServerUnaryReactor* RecommenderService::Size(grpc::CallbackServerContext* context,
                                                   const v1::SizeRequest* request,
                                                   v1::SizeResponse* response) {
  return Reply(context, convert::AnswerSize(*request, calibrations_, SearchDeadline(*context)),
               response);
}

grpc::ServerUnaryReactor* RecommenderService::ListModels(grpc::CallbackServerContext* context,
                                                         const v1::ListModelsRequest*,
                                                         v1::ListModelsResponse* response) {
  return Reply(context, absl::StatusOr<v1::ListModelsResponse>(convert::AnswerListModels()),
               response);
}

grpc::ServerUnaryReactor* RecommenderService::ListGpus(grpc::CallbackServerContext* context,
                                                       const v1::ListGpusRequest*,
                                                       v1::ListGpusResponse* response) {
  return Reply(context, absl::StatusOr<v1::ListGpusResponse>(convert::AnswerListGpus()), response);
}

}  // namespace tunesmith::server
