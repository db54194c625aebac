#include "server/front.h"

#include <sys/stat.h>

#include <algorithm>
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
// A socket is for its owner and its group.
constexpr mode_t kSocketMask = 0117;

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

void AddLimits(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT,
                             0);  // else a second server would share the port in silence
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             Milliseconds(kHandshakePatience));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(kPingInterval));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(kPingPatience));
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
}

absl::Status CannotListen(const std::vector<Listener>& listeners) {
  std::vector<std::string> addresses;
  for (const Listener& listener : listeners) addresses.push_back(listener.address);
  return absl::UnavailableError(StrCat("cannot listen on ", absl::StrJoin(addresses, ", "),
                                       "; another process may have the port, or the address is not "
                                       "this host's: choose another --listen"));
}

}  // namespace

Front::Front(const FrontOptions& options, std::vector<Listener> listeners,
             std::unique_ptr<AccessList> access, CallSink calls,
             std::function<void(const std::string& line)> problems)
    : options_(options),
      listeners_(std::move(listeners)),
      ports_(listeners_.size(), 0),
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
  for (const Listener& listener : listeners) {
    if (listener.guard == Guard::kFileMode)
      TUNESMITH_RETURN_IF_ERROR(CheckSocketIsFree(SocketPath(listener.address)));
  }
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
          .duration = absl::ZeroDuration(),
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
  const auto credentials =
      listener.guard == Guard::kTls
          ? MakeTlsCredentials(tls_->copies(), requires_certificate)
          : grpc::experimental::LocalServerCredentials(by_socket ? UDS : LOCAL_TCP);
  credentials->SetAuthMetadataProcessor(MakeDoorProcessor(door_, by_socket));
  return credentials;
}

absl::StatusOr<std::unique_ptr<grpc::Server>> Front::Serve(grpc::ServerBuilder& builder) {
  AddLimits(builder);
  for (size_t i = 0; i < listeners_.size(); ++i)
    builder.AddListeningPort(listeners_[i].address, CredentialsFor(listeners_[i]), &ports_[i]);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  // What is sent passes the last one first, so that the log has what the client gets.
  interceptors.push_back(std::make_unique<CallWatchFactory>(
      door_, [this](const CallRecord& record) { Record(record); }));
  interceptors.push_back(std::make_unique<MalformedRequestFactory>());
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  const mode_t mask = umask(kSocketMask);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  umask(mask);
  const bool all = std::all_of(ports_.begin(), ports_.end(), [](int port) { return port > 0; });
  if (server == nullptr || !all) return CannotListen(listeners_);
  return server;
}

int Front::port() const {
  for (size_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i].guard != Guard::kFileMode) return ports_[i];
  }
  return 0;
}

std::string Front::Where() const {
  std::vector<std::string> places;
  for (size_t i = 0; i < listeners_.size(); ++i)
    places.push_back(listeners_[i].guard == Guard::kFileMode ? listeners_[i].address
                                                             : StrCat("port ", ports_[i]));
  return absl::StrJoin(places, ", ");
}

}  // namespace tunesmith::server
