#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/credentials.h"

namespace tunesmith::client {

// Why client and server do not come to terms by TLS: gRPC says only that there is no connection. Connects once more, for three seconds at most.
// UNAUTHENTICATED says what is wrong with whose certificate, FAILED_PRECONDITION that only one of the two speaks TLS; OK: it is not TLS.
absl::Status DiagnoseTls(const std::string& server, const Credentials& credentials);

}  // namespace tunesmith::client
