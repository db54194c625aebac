#pragma once

#include <string>

#include "absl/status/status.h"

// Copies of the server's database. Run directories are files of their own and are not part of one.
namespace tunesmith::server {

// Copies the database at `from` to the new file `to`, also while a server uses it. The copy appears
// under its name only when it is whole. ALREADY_EXISTS when `to` exists, NOT_FOUND when `from` does
// not; FAILED_PRECONDITION when `from` is not a database of Tunesmith.
absl::Status BackUpDatabase(const std::string& from, const std::string& to);

// Puts the copy `from` in the place of the data directory's database, which is kept beside it as
// tunesmith.db.before-restore-<time>, with its log where it is too damaged to be copied. The copy is checked first. FAILED_PRECONDITION when a server
// uses the data directory; DATA_LOSS when the copy is damaged.
absl::Status RestoreDatabase(const std::string& from, const std::string& data_directory);

}  // namespace tunesmith::server
