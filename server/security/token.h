#pragma once

#include <optional>
#include <string>
#include <string_view>

// Bearer tokens: 256 random bits each, so that a plain SHA-256 of them cannot be turned back by trying, as it could of passwords. The server
// keeps the hashes.
namespace tunesmith::server {

// "tunesmith_" and 43 characters of base64url, from the system's random numbers. None where there are none.
std::optional<std::string> NewToken();

// SHA-256, 32 bytes.
std::string HashToken(std::string_view token);

// "sha256:" and 64 hexadecimal digits.
std::string HashText(std::string_view hash);
std::optional<std::string> ParseHash(std::string_view text);

// Takes the same time wherever they differ. Hashes of another length are unequal.
bool SameHash(std::string_view a, std::string_view b);

}  // namespace tunesmith::server
