#include "tests/server/api_calls.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "absl/time/clock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "proto/convert/violations.h"
#include "tunesmith/v1/status.pb.h"

namespace tunesmith::server {

bool IsHealthy(const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = grpc::health::v1::Health::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(5)));
  context.set_wait_for_ready(true);
  grpc::health::v1::HealthCheckResponse response;
  return stub->Check(&context, grpc::health::v1::HealthCheckRequest(), &response).ok() &&
         response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

Details DetailsOf(const grpc::Status& status) {
  Details details;
  v1::RichStatus rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  EXPECT_EQ(rich.code(), status.error_code());
  for (const auto& detail : rich.details()) {
    v1::ErrorInfo info;
    v1::BadRequest bad;
    if (detail.type_url() == convert::kErrorInfoUrl && info.ParseFromString(detail.value())) {
      details.reason = info.reason();
      ++details.error_info_count;
    }
    if (detail.type_url() == convert::kBadRequestUrl && bad.ParseFromString(detail.value()))
      for (const auto& violation : bad.field_violations()) details.fields.insert(violation.field());
  }
  return details;
}

std::string ReasonOf(const grpc::Status& status) { return DetailsOf(status).reason; }

std::vector<const google::protobuf::ServiceDescriptor*> AllServices() {
  std::vector<const google::protobuf::ServiceDescriptor*> services;
  for (const auto& entry : std::filesystem::directory_iterator(PROTO_DIR)) {
    const auto* file = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(
        "tunesmith/v1/" + entry.path().filename().string());
    for (int i = 0; file != nullptr && i < file->service_count(); ++i)
      services.push_back(file->service(i));
  }
  return services;
}

std::vector<const google::protobuf::MethodDescriptor*> AllMethods() {
  std::vector<const google::protobuf::MethodDescriptor*> methods;
  for (const auto* service : AllServices())
    for (int i = 0; i < service->method_count(); ++i) methods.push_back(service->method(i));
  return methods;
}

std::string PathOf(const google::protobuf::MethodDescriptor& method) {
  return "/" + method.service()->full_name() + "/" + method.name();
}

}  // namespace tunesmith::server
