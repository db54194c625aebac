#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace grpc {
class Channel;
}

// How a client shows who it is, and knows the server.
namespace tunesmith::client {

struct CredentialFiles {
  std::string
      tls_authorities;  // PEM; not empty: TLS is spoken, and the server must have a certificate of one of them
  std::string tls_certificate;  // PEM; the client's own, with its key
  std::string tls_key;
  std::string token;
  bool insecure = false;  // a token may cross the network without TLS
};

// What the files hold.
struct Credentials {
  std::string tls_authorities;  // empty: no TLS
  std::string tls_certificate;
  std::string tls_key;
  std::string token;
};

// PERMISSION_DENIED for a token or key that others may read, and for a token that would cross the network in the clear; UNAUTHENTICATED for a
// certificate that has expired; INVALID_ARGUMENT for files that do not hold what they should. All with the cure.
absl::StatusOr<Credentials> ReadCredentials(const CredentialFiles& files,
                                            const std::string& server);

// A channel whose calls all carry the token, and the trace of the variable TRACEPARENT where it is set.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& server,
                                           const Credentials& credentials);

}  // namespace tunesmith::client
