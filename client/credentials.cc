#include "client/credentials.h"

#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "common/loopback.h"
#include "common/private_file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/tls_files.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/support/client_interceptor.h"

namespace tunesmith::client {
namespace {

using grpc::experimental::ClientInterceptorFactoryInterface;
using grpc::experimental::InterceptionHookPoints;

constexpr absl::Duration kConnectPatience = absl::Milliseconds(300);

using Headers = std::multimap<std::string, std::string>;

class CallHeaders final : public grpc::experimental::Interceptor {
 public:
  explicit CallHeaders(const Headers& headers) : headers_(headers) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA))
      methods->GetSendInitialMetadata()->insert(headers_.begin(), headers_.end());
    methods->Proceed();
  }

 private:
  const Headers headers_;
};

class CallHeadersFactory final : public ClientInterceptorFactoryInterface {
 public:
  explicit CallHeadersFactory(Headers headers) : headers_(std::move(headers)) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new CallHeaders(headers_);  // gRPC deletes it
  }

 private:
  const Headers headers_;
};

// The token, and the trace that whoever started this process is in, by the variable that tools for traces hand on.
Headers HeadersFor(const Credentials& credentials) {
  Headers headers;
  if (!credentials.token.empty())
    headers.emplace("authorization", StrCat("Bearer ", credentials.token));
  const char* trace = std::getenv("TRACEPARENT");
  const bool is_text = trace != nullptr && *trace != '\0' &&
                       absl::c_all_of(absl::string_view(trace), absl::ascii_isgraph);
  if (is_text) headers.emplace("traceparent", trace);
  return headers;
}

bool IsOnThisHost(const std::string& server) {
  return server.starts_with("unix:") || IsLoopback(server);
}

absl::StatusOr<std::string> ReadToken(const CredentialFiles& files, const std::string& server) {
  if (files.tls_authorities.empty() && !files.insecure && !IsOnThisHost(server)) {
    return absl::PermissionDeniedError(
        StrCat("the token would cross the network to ", server,
               " in the clear; give --tls-ca, or --insecure where something else keeps it secret"));
  }
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadPrivateFile(files.token));
  const std::string token(absl::StripAsciiWhitespace(text));
  const bool good = !token.empty() && token.find_first_of(" \t\r\n") == std::string::npos;
  if (!good)
    return absl::InvalidArgumentError(
        StrCat(files.token, " does not hold one token and nothing else"));
  return token;
}

absl::Status ReadTls(const CredentialFiles& files, Credentials& credentials) {
  TUNESMITH_RETURN_IF_ERROR(CertificateEnd(files.tls_authorities).status());
  TUNESMITH_ASSIGN_OR_RETURN(credentials.tls_authorities, ReadFile(files.tls_authorities));
  if (files.tls_certificate.empty()) return absl::OkStatus();
  const absl::Status pair = CheckKeyPair(files.tls_certificate, files.tls_key);
  if (absl::IsFailedPrecondition(pair)) return absl::UnauthenticatedError(pair.message());
  TUNESMITH_RETURN_IF_ERROR(pair);
  TUNESMITH_ASSIGN_OR_RETURN(credentials.tls_certificate, ReadFile(files.tls_certificate));
  TUNESMITH_ASSIGN_OR_RETURN(credentials.tls_key, ReadPrivateFile(files.tls_key));
  return absl::OkStatus();
}

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsFor(const Credentials& credentials) {
  if (credentials.tls_authorities.empty()) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials({.pem_root_certs = credentials.tls_authorities,
                               .pem_private_key = credentials.tls_key,
                               .pem_cert_chain = credentials.tls_certificate});
}

}  // namespace

absl::StatusOr<Credentials> ReadCredentials(const CredentialFiles& files,
                                            const std::string& server) {
  Credentials credentials;
  if (files.tls_certificate.empty() != files.tls_key.empty())
    return absl::InvalidArgumentError("--tls-cert and --tls-key go together; give both");
  if (files.tls_authorities.empty() && !files.tls_certificate.empty())
    return absl::InvalidArgumentError(
        "--tls-cert needs --tls-ca, the authority of the server's certificate");
  if (!files.tls_authorities.empty()) TUNESMITH_RETURN_IF_ERROR(ReadTls(files, credentials));
  if (!files.token.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(credentials.token, ReadToken(files, server));
  }
  return credentials;
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& server,
                                           const Credentials& credentials) {
  grpc::ChannelArguments arguments;
  // A server that comes back is found within a second, also by a client that has waited long.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  std::vector<std::unique_ptr<ClientInterceptorFactoryInterface>> interceptors;
  Headers headers = HeadersFor(credentials);
  if (!headers.empty())
    interceptors.push_back(std::make_unique<CallHeadersFactory>(std::move(headers)));
  auto channel = grpc::experimental::CreateCustomChannelWithInterceptors(
      server, ChannelCredentialsFor(credentials), arguments, std::move(interceptors));
  // gRPC 1.51 loses some first connections (it takes one under way for a failed one); a second try
  // finds a server that is there. Calls report one that is not.
  channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kConnectPatience));
  return channel;
}

}  // namespace tunesmith::client
