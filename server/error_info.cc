#include "server/error_info.h"

#include "absl/strings/cord.h"
#include "proto/convert/violations.h"
#include "tunesmith/v1/status.pb.h"

namespace tunesmith::server {

absl::Status WithReason(absl::Status status, const std::string& reason,
                        const std::map<std::string, std::string>& metadata) {
  if (status.ok()) return status;
  v1::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("tunesmith");
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  status.SetPayload(convert::kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

}  // namespace tunesmith::server
