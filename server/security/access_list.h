#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/security/access_file.h"

namespace tunesmith::server {

// The access file in memory. It is looked at once a second, when somebody calls, and read again when it has changed: who is taken out is
// refused a second later, and who is put in is known at once. A file that has become unreadable or wrong leaves what was known, and is told once. Thread-safe.
class AccessList {
 public:
  // `log` takes a line when the file was read again, or could not be. Errors as ReadPrivateFile and ParseAccessFile.
  static absl::StatusOr<std::unique_ptr<AccessList>> Open(
      const std::string& path, std::function<void(const std::string& line)> log);

  // Whose token it is. UNAUTHENTICATED when it is nobody's, or has expired.
  absl::StatusOr<AccessEntry> FindToken(std::string_view token);

  // Who has a certificate with one of these names, or of this subject (RFC 4514). UNAUTHENTICATED when nobody.
  absl::StatusOr<AccessEntry> FindCertificate(const std::vector<std::string>& names,
                                              const std::string& subject);

 private:
  AccessList(std::string path, std::function<void(const std::string& line)> log)
      : path_(std::move(path)), log_(std::move(log)) {}
  absl::Status Read();                               // REQUIRES: mutex_ held
  void Refresh();                                    // REQUIRES: mutex_ held
  const AccessEntry* Find(const std::string& hash);  // REQUIRES: mutex_ held

  const std::string path_;
  const std::function<void(const std::string& line)> log_;
  std::mutex mutex_;
  std::vector<AccessEntry> entries_;
  std::string version_;  // of the file that entries_ are from
  absl::Time next_look_ = absl::InfinitePast();
};

}  // namespace tunesmith::server
