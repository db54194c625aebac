#include "server/recommender_service.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "proto/convert/answer.h"
#include "proto/convert/measurement.h"
#include "proto/convert/size.h"
#include "proto/convert/violations.h"
#include "server/error_info.h"
#include "server/operations/metrics.h"
#include "server/requests.h"
#include "server/unary.h"

namespace tunesmith::server {
namespace {

// The answer must leave the server before the client stops waiting.
constexpr absl::Duration kReplyMargin = absl::Milliseconds(20);
// A call without a deadline does not search for ever.
constexpr absl::Duration kLongestSearch = absl::Minutes(1);
constexpr size_t kMaxWaitingCount = 1024;
constexpr int64_t kDefaultRankedCount = 8;

convert::CalibrationSource SourceOf(Calibrations& calibrations) {
  return [&calibrations](std::string_view device, planner::Precision precision) {
    return calibrations.Find(device, precision);
  };
}

absl::Time SearchDeadline(const grpc::CallbackServerContext& context) {
  return std::min(absl::FromChrono(context.deadline()) - kReplyMargin,
                  absl::Now() + kLongestSearch);
}

absl::Status TooMuchWaits() {
  return WithReason(absl::ResourceExhaustedError(
                        StrCat(kMaxWaitingCount, " searches wait already; ask again in a moment")),
                    "TOO_MANY_SEARCHES");
}

// Before a search is begun that nobody waits for.
absl::Status CheckWanted(const grpc::CallbackServerContext& context, absl::Time deadline) {
  if (context.IsCancelled()) return absl::CancelledError("the client went away");
  if (absl::Now() < deadline) return absl::OkStatus();
  return WithReason(
      absl::DeadlineExceededError("the deadline passed before the search began; allow more time"),
      "DEADLINE_BEFORE_SEARCH");
}

absl::Status ParseBytes(const grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
  grpc::ByteBuffer copy = bytes;  // shares the bytes
  if (grpc::GenericDeserialize<grpc::ProtoBufferReader, google::protobuf::Message>(&copy, &message)
          .ok())
    return absl::OkStatus();
  return WithReason(absl::InvalidArgumentError(
                        StrCat("the request is not a ", message.GetDescriptor()->full_name())),
                    "MALFORMED_REQUEST");
}

grpc::ByteBuffer Serialize(const google::protobuf::Message& message) {
  const std::string bytes = message.SerializeAsString();
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// An answer that time cut short is not given to others.
bool IsWhole(const v1::RecommendResponse& response) {
  return !response.deadline_reached() && !response.changes_cut_short() &&
         !response.explanation().deadline_reached();
}

v1::RichStatus RichOf(const absl::Status& status) {
  v1::RichStatus rich;
  rich.ParseFromString(ToGrpcStatus(status).error_details());
  return rich;
}

// How jobs of the plan's method have fared on its device.
std::string DriftWarning(const Drift& drift, const v1::Plan& plan) {
  if (!plan.has_mix()) return "";
  const v1::Measurement as_measured = convert::MeasurementOf(plan, {});
  return drift.WarningOf(as_measured.device_name(), convert::MethodOf(as_measured.mix_line()),
                         as_measured.calibration_id());
}

void AddDriftNote(const Drift& drift, v1::EstimateResponse& response) {
  const std::string warning = DriftWarning(drift, response.plan());
  if (warning.empty()) return;
  v1::TimePrediction& time = *response.mutable_estimate()->mutable_prediction()->mutable_time();
  time.set_note(time.note().empty() ? warning : StrCat(time.note(), " ", warning));
}

}  // namespace

RecommenderService::RecommenderService(Catalog& catalog, Calibrations& calibrations,
                                       const Drift& drift, size_t cache_bytes)
    : catalog_(catalog),
      calibrations_(calibrations),
      drift_(drift),
      cache_(cache_bytes),
      pool_(std::max(2, static_cast<int>(std::thread::hardware_concurrency())), kMaxWaitingCount) {}

// Equal questions have equal keys: defaults are filled in, and what else the answer depends on is
// part of it.
std::string RecommenderService::KeyFor(const v1::RecommendRequest& request) {
  v1::RecommendRequest canonical = request;
  if (canonical.ranked_count() == 0) canonical.set_ranked_count(kDefaultRankedCount);
  return StrCat(catalog_.version(), " ", calibrations_.version(), " ", drift_.version(), " ",
                KeyOf("Recommend", "", canonical).body);
}

absl::StatusOr<grpc::ByteBuffer> RecommenderService::Search(v1::RecommendRequest request,
                                                            const std::string& key,
                                                            absl::Time deadline) {
  static Histogram& seconds =
      ProcessMetrics().HistogramOf("tunesmith_search_seconds", "Searches for the best mixes.");
  const Stopwatch stopwatch(seconds);
  catalog_.Resolve(*request.mutable_question());
  const auto source = SourceOf(calibrations_);
  TUNESMITH_ASSIGN_OR_RETURN(v1::RecommendResponse response,
                             convert::AnswerRecommend(request, source, deadline));
  if (const std::string warning = DriftWarning(drift_, response.plan()); !warning.empty())
    response.add_notes(warning);
  grpc::ByteBuffer answer = Serialize(response);
  if (IsWhole(response)) cache_.Add(key, answer);
  return answer;
}

grpc::ServerUnaryReactor* RecommenderService::Recommend(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  v1::RecommendRequest question;
  if (const absl::Status parsed = ParseBytes(*request, question); !parsed.ok())
    return Reply<grpc::ByteBuffer>(context, parsed, response);
  std::string key = KeyFor(question);
  if (auto known = cache_.Find(key)) return Reply<grpc::ByteBuffer>(context, *known, response);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::Time deadline = SearchDeadline(*context);
  const bool accepted =
      pool_.Submit([=, this, question = std::move(question), key = std::move(key)]() mutable {
        const absl::Status wanted = CheckWanted(*context, deadline);
        FinishLater(reactor,
                    wanted.ok() ? Search(std::move(question), key, deadline)
                                : absl::StatusOr<grpc::ByteBuffer>(wanted),
                    response);
      });
  if (!accepted) reactor->Finish(ToGrpcStatus(TooMuchWaits()));
  return reactor;
}

v1::BatchRecommendResult RecommenderService::AnswerOne(const v1::RecommendRequest& request,
                                                       absl::Time deadline) {
  v1::BatchRecommendResult result;
  const std::string key = KeyFor(request);
  absl::StatusOr<grpc::ByteBuffer> answer =
      absl::DeadlineExceededError("the deadline passed before the search began; allow more time");
  if (auto known = cache_.Find(key)) {
    answer = *known;
  } else if (absl::Now() < deadline) {
    answer = Search(request, key, deadline);
  }
  absl::Status status = answer.status();
  if (status.ok()) status = ParseBytes(*answer, *result.mutable_response());
  if (!status.ok()) *result.mutable_error() = RichOf(status);
  return result;
}

grpc::ServerUnaryReactor* RecommenderService::BatchRecommend(
    grpc::CallbackServerContext* context, const v1::BatchRecommendRequest* request,
    v1::BatchRecommendResponse* response) {
  convert::Violations violations;
  if (request->requests().empty() || request->requests_size() > kMaxBatchCount) {
    violations.Add("requests",
                   StrCat("are ", request->requests_size(), ", must be 1 to ", kMaxBatchCount));
  }
  if (!violations.empty())
    return Reply<v1::BatchRecommendResponse>(context, violations.ToStatus(), response);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::Time deadline = SearchDeadline(*context);
  const bool accepted = pool_.Submit([=, this] {
    for (const v1::RecommendRequest& question : request->requests()) {
      if (context->IsCancelled()) return reactor->Finish(grpc::Status::CANCELLED);
      *response->add_results() = AnswerOne(question, deadline);
    }
    reactor->Finish(grpc::Status::OK);
  });
  if (!accepted) reactor->Finish(ToGrpcStatus(TooMuchWaits()));
  return reactor;
}

grpc::ServerUnaryReactor* RecommenderService::Estimate(grpc::CallbackServerContext* context,
                                                       const v1::EstimateRequest* request,
                                                       v1::EstimateResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::Time deadline = SearchDeadline(*context);
  const bool accepted = pool_.Submit([=, this] {
    const absl::Status wanted = CheckWanted(*context, deadline);
    if (!wanted.ok()) return reactor->Finish(ToGrpcStatus(wanted));
    v1::EstimateRequest resolved = *request;
    catalog_.Resolve(*resolved.mutable_question());
    const auto source = SourceOf(calibrations_);
    absl::StatusOr<v1::EstimateResponse> answer = convert::AnswerEstimate(resolved, source);
    if (answer.ok()) AddDriftNote(drift_, *answer);
    FinishLater(reactor, std::move(answer), response);
  });
  if (!accepted) reactor->Finish(ToGrpcStatus(TooMuchWaits()));
  return reactor;
}

grpc::ServerUnaryReactor* RecommenderService::Size(grpc::CallbackServerContext* context,
                                                   const v1::SizeRequest* request,
                                                   v1::SizeResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::Time deadline = SearchDeadline(*context);
  const bool accepted = pool_.Submit([=, this] {
    const absl::Status wanted = CheckWanted(*context, deadline);
    if (!wanted.ok()) return reactor->Finish(ToGrpcStatus(wanted));
    v1::SizeRequest resolved = *request;
    catalog_.Resolve(resolved);
    const auto source = SourceOf(calibrations_);
    FinishLater(reactor, convert::AnswerSize(resolved, source, deadline), response);
  });
  if (!accepted) reactor->Finish(ToGrpcStatus(TooMuchWaits()));
  return reactor;
}

grpc::ServerUnaryReactor* RecommenderService::ListModels(grpc::CallbackServerContext* context,
                                                         const v1::ListModelsRequest*,
                                                         v1::ListModelsResponse* response) {
  return Reply<v1::ListModelsResponse>(context, catalog_.ListModels(), response);
}

grpc::ServerUnaryReactor* RecommenderService::GetModel(grpc::CallbackServerContext* context,
                                                       const v1::GetModelRequest* request,
                                                       v1::GetModelResponse* response) {
  return Reply(context, catalog_.GetModel(request->name()), response);
}

grpc::ServerUnaryReactor* RecommenderService::CreateModel(grpc::CallbackServerContext* context,
                                                          const v1::CreateModelRequest* request,
                                                          v1::CreateModelResponse* response) {
  return Reply(context, catalog_.CreateModel(*request), response);
}

grpc::ServerUnaryReactor* RecommenderService::ListGpus(grpc::CallbackServerContext* context,
                                                       const v1::ListGpusRequest*,
                                                       v1::ListGpusResponse* response) {
  return Reply<v1::ListGpusResponse>(context, catalog_.ListGpus(), response);
}

grpc::ServerUnaryReactor* RecommenderService::GetGpu(grpc::CallbackServerContext* context,
                                                     const v1::GetGpuRequest* request,
                                                     v1::GetGpuResponse* response) {
  return Reply(context, catalog_.GetGpu(request->name()), response);
}

grpc::ServerUnaryReactor* RecommenderService::CreateGpu(grpc::CallbackServerContext* context,
                                                        const v1::CreateGpuRequest* request,
                                                        v1::CreateGpuResponse* response) {
  return Reply(context, catalog_.CreateGpu(*request), response);
}

}  // namespace tunesmith::server
