// Any bytes as a request of the API: an answer or a refusal whose details parse and fit into trailers; never a crash. The first byte chooses
// the method, the rest is its request.
#include <cstdint>
#include <string_view>
#include <vector>

#include "proto/convert/question.h"
#include "server/grpc_status.h"
#include "server/job_filter.h"
#include "server/job_requests.h"
#include "server/launch/host_launcher.h"
#include "tests/fuzz/require.h"
#include "tunesmith/v1/jobs.pb.h"
#include "tunesmith/v1/recommender.pb.h"
#include "tunesmith/v1/status.pb.h"

namespace tunesmith::server {
namespace {

constexpr size_t kMostTrailerBytes = 8000;

// What is wrong with a request is never the server's fault.
void CheckRefusal(const absl::Status& status) {
  if (status.ok()) return;
  Require(absl::IsInvalidArgument(status) || absl::IsNotFound(status) ||
          absl::IsFailedPrecondition(status) || absl::IsUnimplemented(status));
  const grpc::Status sent = ToGrpcStatus(status);
  v1::RichStatus rich;
  Require(rich.ParseFromString(sent.error_details()) && rich.details_size() >= 1);
  Require(3 * sent.error_message().size() + sent.error_details().size() * 4 / 3 <
          kMostTrailerBytes);
}

template <typename Request>
bool Parse(std::string_view bytes, Request& request) {
  return request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

void CheckCreate(std::string_view bytes) {
  static HostLauncher launcher({.shim_path = "shim",
                                .trainer_path = "trainer",
                                .capacity = {.gpu_count = 2, .cpu_thread_count = 4}});
  v1::CreateJobRequest request;
  if (!Parse(bytes, request)) return;
  const auto checked = CheckCreateJob(request, {&launcher});
  CheckRefusal(checked.status());
  if (!checked.ok()) return;
  const v1::ResourceClaim& claim = checked->job.claim();
  Require(claim.gpu_count() >= 0 && claim.gpu_count() <= 2 && claim.cpu_thread_count() >= 0);
  Require(launcher.Render(checked->job).ok());
}

void CheckRecommend(std::string_view bytes) {
  v1::RecommendRequest request;
  if (Parse(bytes, request)) CheckRefusal(convert::QuestionFromProto(request.question()).status());
}

void CheckEstimate(std::string_view bytes) {
  v1::EstimateRequest request;
  if (Parse(bytes, request)) CheckRefusal(convert::MixChoiceFromProto(request).status());
}

void CheckFilter(std::string_view bytes) {
  const auto conditions = ParseJobFilter(bytes);
  CheckRefusal(conditions.status());
  if (!conditions.ok()) return;
  for (const JobCondition& condition : *conditions) {
    Require(condition.column.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos);
    Require(condition.operator_text.size() <= 2);
  }
}

}  // namespace
}  // namespace tunesmith::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      tunesmith::server::CheckCreate(rest);
      break;
    case 1:
      tunesmith::server::CheckRecommend(rest);
      break;
    case 2:
      tunesmith::server::CheckEstimate(rest);
      break;
    default:
      tunesmith::server::CheckFilter(rest);
  }
  return 0;
}
