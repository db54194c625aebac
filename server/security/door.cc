#include "server/security/door.h"

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/status_macros.h"
#include "common/steady_time.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

constexpr std::string_view kScheme = "bearer ";
constexpr size_t kMaxTokenBytes = 512;
// No name of the access file has a blank.
constexpr char kStrangers[] = "whoever checks health";

std::string_view View(const grpc::string_ref& text) { return {text.data(), text.size()}; }

std::string MethodOf(const CallMetadata& metadata) {
  const auto path = metadata.find(":path");
  return path == metadata.end() ? "" : std::string(View(path->second));
}

// The token of a call; none where it has none.
absl::StatusOr<std::optional<std::string>> TokenOf(const CallMetadata& metadata) {
  const auto [first, last] = metadata.equal_range("authorization");
  if (first == last) return std::nullopt;
  const std::string_view value = View(first->second);
  const bool bearer = absl::StartsWithIgnoreCase(ToAbsl(value), ToAbsl(kScheme));
  if (std::next(first) != last || !bearer || value.size() > kScheme.size() + kMaxTokenBytes)
    return absl::UnauthenticatedError(
        "the call's authorization is not understood; send \"Bearer \" and a token, once");
  return std::string(absl::StripAsciiWhitespace(ToAbsl(value.substr(kScheme.size()))));
}

// The names that a verified client certificate has: alternative names, then the common name.
std::vector<std::string> CertificateNames(const grpc::AuthContext* context) {
  std::vector<std::string> names;
  if (context == nullptr) return names;
  for (const char* property : {"peer_uri", "peer_dns", "x509_common_name"}) {
    for (const grpc::string_ref& name : context->FindPropertyValues(property))
      names.emplace_back(View(name));
  }
  return names;
}

std::string CertificateSubject(const grpc::AuthContext* context) {
  if (context == nullptr) return "";
  const auto subjects = context->FindPropertyValues("x509_subject");
  return subjects.empty() ? "" : std::string(View(subjects.front()));
}

// Whoever got here may do everything.
Caller WithoutAccessFile(const std::vector<std::string>& certificate_names, bool by_socket) {
  if (by_socket) return {.name = "socket", .role = Role::kAdmin, .known_by = "socket"};
  if (certificate_names.empty())
    return {.name = "anybody", .role = Role::kAdmin, .known_by = "nothing"};
  return {.name = certificate_names.front(), .role = Role::kAdmin, .known_by = "certificate"};
}

class DoorProcessor final : public grpc::AuthMetadataProcessor {
 public:
  DoorProcessor(Door& door, bool by_socket) : door_(door), by_socket_(by_socket) {}

  bool IsBlocking() const override { return false; }  // it takes microseconds

  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context, OutputMetadata*,
                       OutputMetadata*) override {
    const absl::Status status = door_.LetIn(metadata, context, by_socket_);
    return {static_cast<grpc::StatusCode>(status.code()),
            std::string(status.message())};  // the numbers are the same
  }

 private:
  Door& door_;
  const bool by_socket_;
};

}  // namespace

absl::StatusOr<Caller> Door::Identify(const CallMetadata& metadata,
                                      const grpc::AuthContext* context, bool by_socket) {
  if (access_ == nullptr) return WithoutAccessFile(CertificateNames(context), by_socket);
  TUNESMITH_ASSIGN_OR_RETURN(const std::optional<std::string> token, TokenOf(metadata));
  if (token) {
    TUNESMITH_ASSIGN_OR_RETURN(AccessEntry entry, access_->FindToken(*token));
    return Caller{.name = std::move(entry.name), .role = entry.role, .known_by = "token"};
  }
  if (by_socket) return Caller{.name = "socket", .role = Role::kAdmin, .known_by = "socket"};
  const std::vector<std::string> names = CertificateNames(context);
  const std::string subject = CertificateSubject(context);
  if (names.empty() && subject.empty())
    return absl::UnauthenticatedError(
        "the call has no token; give the client one with --token-file, or a certificate with "
        "--tls-cert and --tls-key");
  TUNESMITH_ASSIGN_OR_RETURN(AccessEntry entry, access_->FindCertificate(names, subject));
  return Caller{.name = std::move(entry.name), .role = entry.role, .known_by = "certificate"};
}

std::string Door::CountedAs(const std::string& method, const std::string& caller) {
  return RoleFor(method) == Role::kOpen ? kStrangers : caller;
}

absl::Status Door::Check(const std::string& method, const absl::StatusOr<Caller>& caller) {
  TUNESMITH_RETURN_IF_ERROR(caller.status());
  const Role needed = RoleFor(method);
  if (caller->role < needed) {
    return absl::PermissionDeniedError(StrCat(caller->name, " is a ", RoleName(caller->role),
                                              ", and ", method, " needs the role ",
                                              RoleName(needed), "; ask for a token of that role"));
  }
  return counter_.Admit(CountedAs(method, caller->name), SteadyNow());
}

absl::Status Door::LetIn(const CallMetadata& metadata, const grpc::AuthContext* context,
                         bool by_socket) {
  const std::string method = MethodOf(metadata);
  const bool is_open = RoleFor(method) == Role::kOpen;
  const absl::StatusOr<Caller> caller =
      is_open ? absl::StatusOr<Caller>(Caller()) : Identify(metadata, context, by_socket);
  absl::Status status = Check(method, caller);
  if (!status.ok())
    refused_({.method = method, .caller = caller.ok() ? caller->name : "", .status = status});
  return status;
}

std::shared_ptr<grpc::AuthMetadataProcessor> MakeDoorProcessor(Door& door, bool by_socket) {
  return std::make_shared<DoorProcessor>(door, by_socket);
}

}  // namespace tunesmith::server
