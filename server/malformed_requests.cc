#include "server/malformed_requests.h"

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "common/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "server/error_info.h"
#include "server/grpc_status.h"

namespace tunesmith::server {
namespace {

// "/tunesmith.v1.JobService/GetJob" is a method that we have. Others are unimplemented indeed:
// clients try the newer reflection service and go back to the older one by that.
bool IsOurs(std::string name) {
  if (!name.starts_with("/tunesmith.")) return false;
  std::replace(name.begin() + 1, name.end(), '/', '.');
  return google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name.substr(1)) !=
         nullptr;
}

class MalformedRequests final : public grpc::experimental::Interceptor {
 public:
  explicit MalformedRequests(grpc::experimental::ServerRpcInfo* info) : info_(info) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      // What we refuse as unimplemented ourselves says why.
      if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED &&
          status.error_message().empty() && IsOurs(info_->method()))
        methods->ModifySendStatus(ToGrpcStatus(Malformed()));
    }
    methods->Proceed();
  }

 private:
  absl::Status Malformed() const {
    return WithReason(
        absl::InvalidArgumentError(StrCat("the request of ", info_->method(), " does not parse")),
        "MALFORMED_REQUEST");
  }

  grpc::experimental::ServerRpcInfo* info_;
};

}  // namespace

grpc::experimental::Interceptor* MalformedRequestFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  return new MalformedRequests(info);  // gRPC deletes it
}

}  // namespace tunesmith::server
