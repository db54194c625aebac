#include "client/credential_flags.h"

#include <CLI/CLI.hpp>

namespace tunesmith::client {

void AddCredentialFlags(CLI::App& app, CredentialFiles& files) {
  app.add_option("--tls-ca", files.tls_authorities,
                 "Speak TLS with the server; its certificate is of an authority in this file (PEM)")
      ->envname("TUNESMITH_TLS_CA");
  app.add_option("--tls-cert", files.tls_certificate, "Certificate to show the server (PEM)")
      ->envname("TUNESMITH_TLS_CERT");
  app.add_option("--tls-key", files.tls_key, "Its key")->envname("TUNESMITH_TLS_KEY");
  app.add_option("--token-file", files.token, "File with the token to show the server")
      ->envname("TUNESMITH_TOKEN_FILE");
  app.add_flag("--insecure", files.insecure, "Send the token beyond this host without TLS, too");
}

}  // namespace tunesmith::client
