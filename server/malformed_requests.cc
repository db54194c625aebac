#include "server/malformed_requests.h"

#include "absl/status/status.h"
#include "common/str_cat.h"
#include "server/error_info.h"
#include "server/grpc_status.h"

namespace tunesmith::server {
namespace {

class MalformedRequests final : public grpc::experimental::Interceptor {
 public:
  explicit MalformedRequests(grpc::experimental::ServerRpcInfo* info) : info_(info) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      // What we refuse as unimplemented ourselves says why.
      if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED && status.error_message().empty())
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
