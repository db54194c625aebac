#include "server/grpc_status.h"

#include <string>

#include "absl/strings/cord.h"
#include "common/str_cat.h"
#include "common/utf8.h"
#include "proto/convert/violations.h"
#include "tunesmith/v1/status.pb.h"

namespace tunesmith::server {
namespace {

// gRPC refuses trailers above 8 KiB. The message travels twice, once with every byte that is not
// printable ASCII as three, and the details as base64, 4 bytes for 3:
// 3 x 1 KiB + 4/3 x (1 KiB + 512 B + 1.5 KiB) = 7 KiB.
constexpr size_t kMaxMessageBytes = 1024;
constexpr size_t kMaxErrorInfoBytes = 512;
constexpr size_t kMaxBadRequestBytes = 1536;
constexpr size_t kMaxFieldBytes = 128;
constexpr size_t kMaxDescriptionBytes = 256;

// At most `size` bytes, of valid UTF-8 (else clients could not parse the details), not cut within a
// character.
std::string Cut(std::string_view any, size_t size) {
  const std::string text = ReplaceInvalidUtf8(any);
  if (text.size() <= size) return text;
  constexpr std::string_view kEllipsis = "...";
  size_t end = size - kEllipsis.size();
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return StrCat(std::string_view(text).substr(0, end), kEllipsis);
}

void AddDetail(const char* url, const std::string& bytes, v1::RichStatus& rich) {
  google::protobuf::Any* detail = rich.add_details();
  detail->set_type_url(url);
  detail->set_value(bytes);
}

template <typename Message>
bool ReadPayload(const absl::Status& status, const char* url, Message& message) {
  const auto payload = status.GetPayload(url);
  return payload && message.ParseFromString(std::string(*payload));
}

std::string ErrorInfoBytes(const absl::Status& status) {
  v1::ErrorInfo info;
  if (!ReadPayload(status, convert::kErrorInfoUrl, info)) {
    info.set_reason(absl::StatusCodeToString(status.code()));
    info.set_domain("tunesmith");
  }
  for (auto& [key, value] : *info.mutable_metadata()) value = Cut(value, kMaxFieldBytes);
  if (info.ByteSizeLong() > kMaxErrorInfoBytes) info.clear_metadata();
  return info.SerializeAsString();
}

// As many violations as there is room for; the last one tells how many are missing.
std::string BadRequestBytes(const v1::BadRequest& bad_request) {
  v1::BadRequest bounded;
  for (const v1::FieldViolation& violation : bad_request.field_violations()) {
    v1::FieldViolation& added = *bounded.add_field_violations();
    added.set_field(Cut(violation.field(), kMaxFieldBytes));
    added.set_description(Cut(violation.description(), kMaxDescriptionBytes));
    if (bounded.ByteSizeLong() <= kMaxBadRequestBytes) continue;
    const int left = bad_request.field_violations_size() - bounded.field_violations_size() + 1;
    added.set_field("");
    added.set_description(StrCat("and ", left, " more"));
    break;
  }
  return bounded.SerializeAsString();
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  v1::RichStatus rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(Cut(ToStd(status.message()), kMaxMessageBytes));
  AddDetail(convert::kErrorInfoUrl, ErrorInfoBytes(status), rich);
  v1::BadRequest bad_request;
  if (ReadPayload(status, convert::kBadRequestUrl, bad_request))
    AddDetail(convert::kBadRequestUrl, BadRequestBytes(bad_request), rich);
  // absl::StatusCode and grpc::StatusCode have the same numbers.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), rich.message(),
                      rich.SerializeAsString());
}

}  // namespace tunesmith::server
