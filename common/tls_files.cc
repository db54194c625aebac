#include "common/tls_files.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>

#include "absl/time/clock.h"
#include "common/file.h"
#include "common/openssl_owner.h"
#include "common/private_file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith {
namespace {

using Certificate = OpensslOwner<X509>;
using Key = OpensslOwner<EVP_PKEY>;

// A key with a passphrase is refused instead of asked for on the terminal.
int NoPassphrase(char*, int, int, void*) { return 0; }

absl::StatusOr<Certificate> ReadCertificate(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  Certificate certificate(
      PEM_read_bio_X509(OpensslReader(text).get(), nullptr, NoPassphrase, nullptr));
  ERR_clear_error();
  if (certificate == nullptr)
    return absl::InvalidArgumentError(
        StrCat(path, " holds no certificate; name a PEM file that begins with one"));
  return certificate;
}

absl::StatusOr<Key> ReadKey(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadPrivateFile(path));
  Key key(PEM_read_bio_PrivateKey(OpensslReader(text).get(), nullptr, NoPassphrase, nullptr));
  ERR_clear_error();
  if (key == nullptr)
    return absl::InvalidArgumentError(StrCat(
        path, " holds no key that can be read without a passphrase; name a PEM file with one"));
  return key;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm parts = {};
  ASN1_TIME_to_tm(time, &parts);
  return absl::FromTimeT(timegm(&parts));
}

std::string Show(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<absl::Time> CertificateEnd(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(path));
  return TimeOf(X509_get0_notAfter(certificate.get()));
}

absl::Status CheckKeyPair(const std::string& certificate_path, const std::string& key_path) {
  TUNESMITH_ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(certificate_path));
  TUNESMITH_ASSIGN_OR_RETURN(const Key key, ReadKey(key_path));
  const bool fits = X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (!fits)
    return absl::InvalidArgumentError(StrCat(key_path, " is not the key of the certificate in ",
                                             certificate_path,
                                             "; name the two that were made together"));
  const absl::Time begin = TimeOf(X509_get0_notBefore(certificate.get()));
  const absl::Time end = TimeOf(X509_get0_notAfter(certificate.get()));
  if (end < absl::Now())
    return absl::FailedPreconditionError(StrCat("the certificate in ", certificate_path,
                                                " expired at ", Show(end),
                                                "; have a new one made"));
  if (begin > absl::Now())
    return absl::FailedPreconditionError(StrCat("the certificate in ", certificate_path,
                                                " is not valid before ", Show(begin),
                                                "; have another made, or set this host's clock"));
  return absl::OkStatus();
}

}  // namespace tunesmith
