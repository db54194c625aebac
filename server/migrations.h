#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "server/sqlite.h"

// The database's schema, as numbered steps. user_version is the number of the last step that was
// applied; each step and its number are one transaction.
namespace tunesmith::server {

inline constexpr int64_t kApplicationId = 0x54756e65;  // "Tune"

// The version that Migrate brings a database to.
int64_t SchemaVersion();

// Sets the pragmas that hold per connection, checks that the file is ours, and applies the steps
// that are missing. FAILED_PRECONDITION when the file belongs to another application or was written
// by a newer version; it is then unchanged.
absl::Status Migrate(Database& database, const std::string& path);

}  // namespace tunesmith::server
