#include "server/front.h"

#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "grpcpp/security/server_credentials.h"
#include "server/call_watch.h"
#include "server/cluster_service.h"
#include "server/malformed_requests.h"

namespace tunesmith::server {
namespace {

// A client that connects and says nothing is not waited for longer.
constexpr absl::Duration kHandshakePatience = absl::Seconds(10);
// A client whose host is gone is found out by pings.
constexpr absl::Duration kPingInterval = absl::Minutes(2);
constexpr absl::Duration kPingPatience = absl::Seconds(20);
// Of one connection, beyond what the door lets in: who asks for more is to be refused, and not to wait.
constexpr int64_t kFurtherStreams = 1024;

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

void AddLimits(grpc::ServerBuilder& builder, const CallLimits& limits) {
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             Milliseconds(kHandshakePatience));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(kPingInterval));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(kPingPatience));
  if (limits.calls_at_once > 0) {
    const int64_t most = std::numeric_limits<int>::max() - kFurtherStreams;
    builder.AddChannelArgument(
        GRPC_ARG_MAX_CONCURRENT_STREAMS,
        static_cast<int>(std::min(limits.calls_at_once, most) + kFurtherStreams));
  }
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
}

}  // namespace

Front::Front(const FrontOptions& options, std::vector<Listener> listeners,
             std::unique_ptr<AccessList> access, CallSink calls,
             std::function<void(const std::string& line)> problems)
    : options_(options),
      listeners_(std::move(listeners)),
      connections_(options.max_connection_count),
      calls_(std::move(calls)),
      audit_(options.audit_path.empty()
                 ? nullptr
                 : std::make_unique<AuditLog>(options.audit_path, std::move(problems))),
      door_(std::move(access), options.limits,
            [this](const Refusal& refusal) { RecordRefusal(refusal); }) {}

absl::StatusOr<std::unique_ptr<Front>> Front::Open(
    const FrontOptions& options, CallSink calls,
    std::function<void(const std::string& line)> problems) {
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<Listener> listeners,
                             PlanListeners({.addresses = options.listen,
                                            .tls = options.tls,
                                            .has_access_file = !options.access_path.empty(),
                                            .insecure = options.insecure}));
  std::unique_ptr<AccessList> access;
  if (!options.access_path.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(access, AccessList::Open(options.access_path, problems));
  }
  std::unique_ptr<TlsWatch> tls;
  if (!options.tls.certificate_path.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(tls, TlsWatch::Start(options.tls, problems));
  }
  std::unique_ptr<Front> front(new Front(options, std::move(listeners), std::move(access),
                                         std::move(calls), std::move(problems)));
  front->tls_ = std::move(tls);
  if (front->audit_ != nullptr) TUNESMITH_RETURN_IF_ERROR(front->audit_->Open());
  return front;
}

void Front::Record(const CallRecord& record) {
  calls_(record);
  if (audit_ != nullptr) audit_->Write(record);
}

void Front::RecordRefusal(const Refusal& refusal) {
  Record({.method = refusal.method,
          .peer = {},
          .code = refusal.status.code(),
          .message = std::string(refusal.status.message()),
          .duration = std::nullopt,
          .caller = refusal.caller,
          .known_by = {},
          .resource = {},
          .request_id = {},
          .trace_id = {}});
}

std::shared_ptr<grpc::ServerCredentials> Front::CredentialsFor(const Listener& listener) {
  if (listener.guard == Guard::kNone)
    return grpc::InsecureServerCredentials();  // which takes no door
  const bool by_socket = listener.guard == Guard::kFileMode;
  const bool requires_certificate =
      options_.access_path.empty() && !options_.tls.client_authority_path.empty();
  auto credentials = listener.guard == Guard::kTls
                         ? MakeTlsCredentials(tls_->copies(), requires_certificate)
                         : grpc::experimental::LocalServerCredentials(by_socket ? UDS : LOCAL_TCP);
  credentials->SetAuthMetadataProcessor(MakeDoorProcessor(door_, by_socket));
  return credentials;
}

absl::StatusOr<std::unique_ptr<grpc::Server>> Front::Serve(grpc::ServerBuilder& builder) {
  AddLimits(builder, options_.limits);
  using ConnectionType = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  std::vector<std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor>> takers;
  for (const Listener& listener : listeners_) {
    TUNESMITH_ASSIGN_OR_RETURN(acceptors_.emplace_back(), Acceptor::Bind(listener.address));
    takers.push_back(builder.experimental().AddExternalConnectionAcceptor(
        ConnectionType::FROM_FD, CredentialsFor(listener)));
  }
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  // What is sent passes the last one first, so that the log has what the client gets.
  interceptors.push_back(std::make_unique<CallWatchFactory>(
      door_, [this](const CallRecord& record) { Record(record); }));
  interceptors.push_back(std::make_unique<MalformedRequestFactory>());
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr)
    return absl::UnavailableError("gRPC does not start the server; the log has its words");
  for (size_t i = 0; i < acceptors_.size(); ++i)
    acceptors_[i]->Start(std::move(takers[i]), connections_);
  return server;
}

void Front::Close() {
  for (const auto& acceptor : acceptors_) acceptor->Stop();
}

int Front::port() const {
  for (const auto& acceptor : acceptors_) {
    if (acceptor->port() > 0) return acceptor->port();
  }
  return 0;
}

std::string Front::Where() const {
  std::vector<std::string> places;
  for (size_t i = 0; i < listeners_.size(); ++i) {
    const int port = acceptors_[i]->port();
    places.push_back(port > 0 ? StrCat("port ", port) : listeners_[i].address);
  }
  return absl::StrJoin(places, ", ");
}

}  // namespace tunesmith::server
