#include "client/tls_diagnosis.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "common/host_port.h"
#include "common/openssl_owner.h"
#include "common/str_cat.h"

namespace tunesmith::client {
namespace {

constexpr int kPatienceSeconds = 3;

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

class Connection {
 public:
  Connection(const std::string& host, const std::string& port) {
    addrinfo* list = nullptr;
    const addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (getaddrinfo(host.c_str(), port.c_str(), &hints, &list) != 0) return;
    const std::unique_ptr<addrinfo, FreeAddresses> owner(list);
    for (const addrinfo* at = list; at != nullptr && !connected_; at = at->ai_next) Try(*at);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { Close(); }

  bool connected() const { return connected_; }
  int descriptor() const { return descriptor_; }

 private:
  void Try(const addrinfo& address) {
    Close();
    descriptor_ = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience = {.tv_sec = kPatienceSeconds, .tv_usec = 0};
    setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    connected_ = connect(descriptor_, address.ai_addr, address.ai_addrlen) == 0;
  }
  void Close() {
    if (descriptor_ >= 0) close(descriptor_);
    descriptor_ = -1;
  }

  int descriptor_ = -1;
  bool connected_ = false;
};

void TrustAuthorities(SSL_CTX* context, const std::string& pem) {
  const OpensslOwner<BIO> reader = OpensslReader(pem);
  while (true) {
    const OpensslOwner<X509> certificate(
        PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate.get());
  }
}

void ShowCertificate(SSL_CTX* context, const Credentials& credentials) {
  if (credentials.tls_certificate.empty()) return;
  const OpensslOwner<BIO> certificates = OpensslReader(credentials.tls_certificate);
  const OpensslOwner<X509> certificate(
      PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr));
  SSL_CTX_use_certificate(context, certificate.get());
  while (X509* between = PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr))
    SSL_CTX_add0_chain_cert(context, between);
  const OpensslOwner<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(OpensslReader(credentials.tls_key).get(), nullptr, nullptr, nullptr));
  SSL_CTX_use_PrivateKey(context, key.get());
}

void ExpectHost(SSL* ssl, const std::string& host) {
  SSL_set_tlsext_host_name(ssl, host.c_str());
  X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) != 1)
    X509_VERIFY_PARAM_set1_host(parameters, host.c_str(), host.size());
}

absl::Status ServersFault(const std::string& server, long result) {
  std::string cure = "have its certificate made anew";
  if (result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH)
    cure = "ask for it by a name that its certificate has";
  if (result == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
      result == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
      result == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
      result == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE)
    cure = "it is of another authority than --tls-ca; name the authority of the server";
  return absl::UnauthenticatedError(StrCat("the certificate of ", server, " is refused: ",
                                           X509_verify_cert_error_string(result), "; ", cure));
}

// In TLS 1.3 the server looks at the client's certificate when the client is through; gRPC then speaks first, or hangs up without giving a
// reason.
absl::Status ServersVerdict(SSL* ssl, const std::string& server, const Credentials& credentials) {
  char byte = 0;
  errno = 0;
  const bool spoke = SSL_read(ssl, &byte, 1) > 0;
  const bool silent = !spoke && (errno == EAGAIN || errno == EWOULDBLOCK);
  if (spoke || silent) return absl::OkStatus();
  if (credentials.tls_certificate.empty())
    return absl::UnauthenticatedError(StrCat(
        server, " hangs up on a client without a certificate; give --tls-cert and --tls-key"));
  return absl::UnauthenticatedError(StrCat(server,
                                           " hangs up when it sees this client's certificate: it "
                                           "was revoked, or is of an authority that "
                                           "the server does not know; have another one made"));
}

absl::Status Shake(SSL* ssl, const std::string& server, const Credentials& credentials) {
  ERR_clear_error();
  const bool shaken = SSL_connect(ssl) == 1;
  const long result = SSL_get_verify_result(ssl);
  if (credentials.tls_authorities.empty()) {
    if (!shaken) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat(server, " speaks TLS; give --tls-ca, the authority of its certificate"));
  }
  if (result != X509_V_OK) return ServersFault(server, result);
  if (shaken) return ServersVerdict(ssl, server, credentials);
  if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_WRONG_VERSION_NUMBER)
    return absl::FailedPreconditionError(StrCat(server, " does not speak TLS; leave --tls-ca out"));
  return absl::OkStatus();
}

}  // namespace

absl::Status DiagnoseTls(const std::string& server, const Credentials& credentials) {
  const auto parts = ParseHostPort(server);
  if (server.starts_with("unix:") || !parts.ok()) return absl::OkStatus();
  const Connection connection(parts->host, StrCat(parts->port));
  if (!connection.connected()) return absl::OkStatus();
  const OpensslOwner<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
  const bool has_tls = !credentials.tls_authorities.empty();
  SSL_CTX_set_verify(context.get(), has_tls ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  TrustAuthorities(context.get(), credentials.tls_authorities);
  ShowCertificate(context.get(), credentials);
  const OpensslOwner<SSL> ssl(SSL_new(context.get()));
  constexpr unsigned char kHttp2[] = "\x02h2";
  SSL_set_alpn_protos(ssl.get(), kHttp2, sizeof(kHttp2) - 1);
  if (has_tls) ExpectHost(ssl.get(), parts->host);
  SSL_set_fd(ssl.get(), connection.descriptor());
  absl::Status status = Shake(ssl.get(), server, credentials);
  ERR_clear_error();
  return status;
}

}  // namespace tunesmith::client
