#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

// Certificates and keys in PEM files, looked at before anything is done with them, so that what is wrong is told by its name.
namespace tunesmith {

// When the first certificate of the file ends. INVALID_ARGUMENT: the file has none.
absl::StatusOr<absl::Time> CertificateEnd(const std::string& path);

// The certificate is valid now and the key is its own. FAILED_PRECONDITION: it has expired, or is not valid yet; INVALID_ARGUMENT: no
// certificate, no key without a passphrase, or another's key; PERMISSION_DENIED as ReadPrivateFile, for the key.
absl::Status CheckKeyPair(const std::string& certificate_path, const std::string& key_path);

}  // namespace tunesmith
