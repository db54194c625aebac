#include "server/security/token.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

constexpr std::string_view kTokenPrefix = "tunesmith_";
constexpr std::string_view kHashPrefix = "sha256:";
constexpr size_t kTokenBytes = 32;

}  // namespace

std::optional<std::string> NewToken() {
  std::array<unsigned char, kTokenBytes> bytes = {};
  if (RAND_bytes(bytes.data(), kTokenBytes) != 1) return std::nullopt;
  return StrCat(kTokenPrefix, absl::WebSafeBase64Escape(absl::string_view(
                                  reinterpret_cast<const char*>(bytes.data()), bytes.size())));
}

std::string HashToken(std::string_view token) {
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

std::string HashText(std::string_view hash) {
  return StrCat(kHashPrefix, absl::BytesToHexString(ToAbsl(hash)));
}

std::optional<std::string> ParseHash(std::string_view text) {
  if (!text.starts_with(kHashPrefix)) return std::nullopt;
  const std::string_view digits = text.substr(kHashPrefix.size());
  const bool good = digits.size() == size_t{2} * SHA256_DIGEST_LENGTH &&
                    std::all_of(digits.begin(), digits.end(), [](char c) {
                      return absl::ascii_isxdigit(static_cast<unsigned char>(c));
                    });
  if (!good) return std::nullopt;
  return absl::HexStringToBytes(ToAbsl(digits));
}

bool SameHash(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace tunesmith::server
