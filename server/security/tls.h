#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/security/server_credentials.h"

namespace tunesmith::server {

// Files of the server's TLS; all may be replaced while it runs, and count for connections that are made two seconds later.
struct TlsOptions {
  std::string
      certificate_path;  // PEM: the server's, then those between it and its authority. Empty: no TLS
  std::string key_path;
  std::string
      client_authority_path;  // clients' certificates are of these authorities. Empty: none are asked for
  std::string
      revocation_directory;  // lists of revoked certificates, named by their authority's hash: HASH.r0, HASH.r1. Empty: none
};

// What is wrong with the files, and the cure. OK without TLS.
absl::Status CheckTls(const TlsOptions& options);

// REQUIRES: CheckTls is OK. With `requires_certificate`, clients without one are not let in; else they may show one.
std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(const TlsOptions& options,
                                                            bool requires_certificate);

}  // namespace tunesmith::server
