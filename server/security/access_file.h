#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/security/roles.h"

// The file that says who may do what, one caller a line:
//
//   token        alice        submitter  sha256:0f5c...  expires=2027-01-31T00:00:00Z
//   certificate  ci.example   reader
//   subject      CN=ci,O=Acme\20Ltd  reader
//
// A token is given by its hash: who reads the file cannot use it. A certificate is named by its common name or one of its alternative names, or by its whole
// subject as RFC 4514 writes it, with \20 for a blank. What comes after # is a comment.
namespace tunesmith::server {

enum class AccessKind { kToken, kCertificate, kSubject };

struct AccessEntry {
  AccessKind kind = AccessKind::kToken;
  std::string name;
  Role role = Role::kReader;
  std::string hash;  // kToken: 32 bytes
  absl::Time expires = absl::InfiniteFuture();
};

// INVALID_ARGUMENT names every line that is wrong.
absl::StatusOr<std::vector<AccessEntry>> ParseAccessFile(const std::string& text);

// Makes a token for `name`, appends its line to the file, which is created (mode 0600) where it is absent, and returns the token, which is
// kept nowhere. ALREADY_EXISTS for a name that the file has; other errors as ReadPrivateFile and ParseAccessFile.
absl::StatusOr<std::string> AddToken(const std::string& path, const std::string& name,
                                     const std::string& role);

}  // namespace tunesmith::server
