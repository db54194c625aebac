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

// A random UUID (RFC 4122, version 4).
std::string NewUid();

// Sets the pragmas that hold per connection, checks that the file is ours, and applies the steps
// that are missing up to `target`. A database that has tables already is copied into the folder
// `backups` first, as before-schema-<N>.db; empty: beside it. FAILED_PRECONDITION when the file
// belongs to another application or was written by a newer version; it is then unchanged.
absl::Status Migrate(Database& database, const std::string& path, const std::string& backups = "",
                     int64_t target = SchemaVersion());

}  // namespace tunesmith::server
