#pragma once

#include "grpcpp/support/server_interceptor.h"

namespace tunesmith::server {

// gRPC answers a request that does not parse with UNIMPLEMENTED and no word. This makes it the
// INVALID_ARGUMENT, with its ErrorInfo, that it is.
class MalformedRequestFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;
};

}  // namespace tunesmith::server
