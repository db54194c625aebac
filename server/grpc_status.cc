#include "server/grpc_status.h"

#include <string>

#include "absl/strings/cord.h"
#include "common/str_cat.h"
#include "proto/convert/violations.h"
#include "tunesmith/v1/status.pb.h"

namespace tunesmith::server {
namespace {

constexpr size_t kMaxMessageBytes = 4096;
constexpr size_t kMaxDetailBytes = 4096;

std::string BoundedMessage(const absl::Status& status) {
  std::string message(status.message());
  if (message.size() > kMaxMessageBytes)
    message.replace(kMaxMessageBytes - 3, std::string::npos, "...");
  return message;
}

void AddDetail(absl::string_view url, const std::string& bytes, v1::RichStatus& rich) {
  if (bytes.size() > kMaxDetailBytes) return;  // the message says it too
  google::protobuf::Any* detail = rich.add_details();
  detail->set_type_url(std::string(url));
  detail->set_value(bytes);
}

std::string ErrorInfoBytes(const absl::Status& status) {
  v1::ErrorInfo info;
  info.set_reason(absl::StatusCodeToString(status.code()));
  info.set_domain("tunesmith");
  return info.SerializeAsString();
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  v1::RichStatus rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(BoundedMessage(status));
  if (!status.GetPayload(convert::kErrorInfoUrl))
    AddDetail(convert::kErrorInfoUrl, ErrorInfoBytes(status), rich);
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    AddDetail(url, std::string(payload), rich);
  });
  // absl::StatusCode and grpc::StatusCode have the same numbers.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), rich.message(),
                      rich.SerializeAsString());
}

}  // namespace tunesmith::server
