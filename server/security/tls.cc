#include "server/security/tls.h"

#include <filesystem>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/tls_files.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace tunesmith::server {
namespace {

constexpr unsigned int kLookSeconds = 1;

absl::Status CheckTogether(const TlsOptions& options) {
  if (options.certificate_path.empty() != options.key_path.empty())
    return absl::InvalidArgumentError("--tls-cert and --tls-key go together; give both");
  const bool has_clients = !options.client_authority_path.empty();
  if (options.certificate_path.empty() && has_clients)
    return absl::InvalidArgumentError("--tls-client-ca needs --tls-cert and --tls-key");
  if (!options.revocation_directory.empty() && !has_clients)
    return absl::InvalidArgumentError("--tls-crl-dir needs --tls-client-ca");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTls(const TlsOptions& options) {
  TUNESMITH_RETURN_IF_ERROR(CheckTogether(options));
  if (options.certificate_path.empty()) return absl::OkStatus();
  TUNESMITH_RETURN_IF_ERROR(CheckKeyPair(options.certificate_path, options.key_path));
  if (!options.client_authority_path.empty())
    TUNESMITH_RETURN_IF_ERROR(CertificateEnd(options.client_authority_path).status());
  std::error_code error;
  if (!options.revocation_directory.empty() &&
      !std::filesystem::is_directory(options.revocation_directory, error))
    return absl::NotFoundError(
        StrCat("--tls-crl-dir ", options.revocation_directory,
               " is no directory; make it, with lists named by openssl rehash"));
  return absl::OkStatus();
}

std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(const TlsOptions& options,
                                                            bool requires_certificate) {
  using grpc::experimental::FileWatcherCertificateProvider;
  const bool has_clients = !options.client_authority_path.empty();
  const auto provider = has_clients ? std::make_shared<FileWatcherCertificateProvider>(
                                          options.key_path, options.certificate_path,
                                          options.client_authority_path, kLookSeconds)
                                    : std::make_shared<FileWatcherCertificateProvider>(
                                          options.key_path, options.certificate_path, kLookSeconds);
  grpc::experimental::TlsServerCredentialsOptions tls(provider);
  tls.watch_identity_key_cert_pairs();
  if (has_clients) {
    tls.watch_root_certs();
    tls.set_cert_request_type(requires_certificate
                                  ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                  : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  if (!options.revocation_directory.empty()) tls.set_crl_directory(options.revocation_directory);
  return grpc::experimental::TlsServerCredentials(tls);
}

}  // namespace tunesmith::server
