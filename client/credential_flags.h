#pragma once

#include "client/credentials.h"

namespace CLI {
class App;
}

namespace tunesmith::client {

// --tls-ca, --tls-cert, --tls-key, --token-file and --insecure, of every command.
void AddCredentialFlags(CLI::App& app, CredentialFiles& files);

}  // namespace tunesmith::client
