#include "server/security/access_list.h"

#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "common/private_file.h"
#include "common/status_macros.h"
#include "common/steady_time.h"
#include "common/str_cat.h"
#include "server/security/token.h"

namespace tunesmith::server {
namespace {

constexpr absl::Duration kLookInterval = absl::Seconds(1);

// Differs when the file was written, replaced, or its mode was changed.
std::string VersionOf(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) return "absent";
  return StrCat(info.st_ino, " ", info.st_size, " ", info.st_mode, " ",
                absl::ToUnixNanos(absl::TimeFromTimespec(info.st_mtim)));
}

absl::Status CheckExpiry(const AccessEntry& entry) {
  if (absl::Now() < entry.expires) return absl::OkStatus();
  return absl::UnauthenticatedError(StrCat("the token of ", entry.name, " expired at ",
                                           absl::FormatTime(entry.expires, absl::UTCTimeZone()),
                                           "; ask for a new one"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AccessList>> AccessList::Open(
    const std::string& path, std::function<void(const std::string& line)> log) {
  std::unique_ptr<AccessList> list(new AccessList(path, std::move(log)));
  std::lock_guard lock(list->mutex_);
  list->version_ = VersionOf(path);
  TUNESMITH_RETURN_IF_ERROR(list->Read());
  return list;
}

absl::Status AccessList::Read() {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadPrivateFile(path_));
  absl::StatusOr<std::vector<AccessEntry>> entries = ParseAccessFile(text);
  if (!entries.ok())
    return absl::InvalidArgumentError(StrCat(path_, ": ", entries.status().message()));
  entries_ = *std::move(entries);
  return absl::OkStatus();
}

void AccessList::Refresh() {
  const absl::Time now = SteadyNow();
  if (now < next_look_) return;
  next_look_ = now + kLookInterval;
  const std::string version = VersionOf(path_);
  if (version == version_) return;
  version_ = version;
  const absl::Status status = Read();
  log_(status.ok() ? StrCat(path_, " was read again: ", entries_.size(), " callers")
                   : StrCat("the access file stays as it was: ", status.message()));
}

const AccessEntry* AccessList::Find(const std::string& hash) {
  Refresh();
  const AccessEntry* found = nullptr;
  // To the end: how long it takes tells nothing of who it was.
  for (const AccessEntry& entry : entries_) {
    if (entry.kind == AccessKind::kToken && SameHash(entry.hash, hash)) found = &entry;
  }
  return found;
}

absl::StatusOr<AccessEntry> AccessList::FindToken(std::string_view token) {
  const std::string hash = HashToken(token);
  std::lock_guard lock(mutex_);
  const AccessEntry* found = Find(hash);
  if (found == nullptr) {
    next_look_ = absl::InfinitePast();  // it may be a new one
    found = Find(hash);
  }
  if (found == nullptr)
    return absl::UnauthenticatedError(
        "the token is not one that this server knows; ask for a new one");
  TUNESMITH_RETURN_IF_ERROR(CheckExpiry(*found));
  return *found;
}

absl::StatusOr<AccessEntry> AccessList::FindCertificate(const std::vector<std::string>& names,
                                                        const std::string& subject) {
  const std::string word = absl::StrReplaceAll(subject, {{" ", "\\20"}});
  std::lock_guard lock(mutex_);
  Refresh();
  for (const AccessEntry& entry : entries_) {
    const bool is_named = entry.kind == AccessKind::kCertificate &&
                          std::find(names.begin(), names.end(), entry.name) != names.end();
    const bool is_subject = entry.kind == AccessKind::kSubject && entry.name == word;
    if (!is_named && !is_subject) continue;
    TUNESMITH_RETURN_IF_ERROR(CheckExpiry(entry));
    return entry;
  }
  return absl::UnauthenticatedError(
      StrCat("the certificate of ", names.empty() ? subject : names.front(),
             " is not one that this server's access file has; ask for a line in it"));
}

}  // namespace tunesmith::server
