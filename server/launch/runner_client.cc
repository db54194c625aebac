#include "server/launch/runner_client.h"

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "server/unix_socket.h"

namespace tunesmith::server {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr size_t kLargestReplyBytes = 64 << 10;

absl::Status NoAnswer(const absl::Status& status) {
  return absl::UnavailableError(
      StrCat("the runner does not answer: ", std::string(status.message()),
             "; systemctl status tunesmith-runner.socket tells more (deploy/systemd)"));
}

absl::StatusOr<std::string> Exchange(const std::string& path, const std::string& request) {
  TUNESMITH_ASSIGN_OR_RETURN(const Descriptor connection, ConnectUnix(path, kPatience));
  TUNESMITH_RETURN_IF_ERROR(SendAll(connection.get(), request));
  return ReceiveAll(connection.get(), kLargestReplyBytes);
}

}  // namespace

absl::StatusOr<v1::RunAttemptReply> AskRunner(const std::string& path,
                                              const v1::RunAttemptRequest& request) {
  const auto text = Exchange(path, convert::ToJson(request, convert::JsonLayout::kOneLine));
  if (!text.ok()) return NoAnswer(text.status());
  if (text->empty()) return NoAnswer(absl::UnavailableError(StrCat("unix:", path, " hung up")));
  v1::RunAttemptReply reply;
  TUNESMITH_RETURN_IF_ERROR(
      convert::FromJson(*text, "the runner's reply", &reply, convert::UnknownFields::kIgnore));
  if (!reply.error().empty())
    return absl::FailedPreconditionError(StrCat("the runner refuses: ", reply.error()));
  return reply;
}

}  // namespace tunesmith::server
