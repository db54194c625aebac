#include "server/security/audit_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "common/file.h"
#include "common/str_cat.h"
#include "nlohmann/json.hpp"
#include "server/security/roles.h"

namespace tunesmith::server {
namespace {

bool WasRefusedAtTheDoor(const CallRecord& record) { return !record.duration; }

nlohmann::json ToJson(const CallRecord& record) {
  nlohmann::json line = {
      {"time", absl::FormatTime(absl::RFC3339_full, absl::Now(), absl::UTCTimeZone())},
      {"caller", record.caller},
      {"known_by", record.known_by},
      {"method", record.method},
      {"code", absl::StatusCodeToString(record.code)}};
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) line[key] = value;
  };
  add("peer", record.peer);
  add("resource", record.resource);
  add("request_id", record.request_id);
  add("trace_id", record.trace_id);
  add("message", record.message);
  return line;
}

}  // namespace

absl::Status AuditLog::Open() {
  const int descriptor = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (descriptor < 0)
    return absl::UnavailableError(
        StrCat("cannot write the audit log ", path_,
               "; choose another --audit-log, or let this user write it"));
  close(descriptor);
  return absl::OkStatus();
}

// What a client can send without end is written sparingly.
bool AuditLog::Admit(const CallRecord& record) {
  if (record.caller.empty()) return of_nobody_.Admit();
  const bool is_too_many =
      WasRefusedAtTheDoor(record) && record.code == absl::StatusCode::kResourceExhausted;
  return !is_too_many || too_many_.Admit();
}

void AuditLog::Write(const CallRecord& record) {
  if (!WasRefusedAtTheDoor(record) && RoleFor(record.method) <= Role::kReader) return;
  if (!Admit(record)) return;
  nlohmann::json line = ToJson(record);
  const int64_t left_out_count = of_nobody_.TakeLeftOut() + too_many_.TakeLeftOut();
  if (left_out_count > 0) line["left_out_count"] = left_out_count;
  std::lock_guard lock(mutex_);
  absl::Status status = Open();
  if (status.ok())
    status = AppendLine(path_, line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  if (!status.ok()) failed_(StrCat("an entry of the audit log was lost: ", status.message()));
}

}  // namespace tunesmith::server
