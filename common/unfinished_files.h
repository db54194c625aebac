#pragma once

#include <string>

namespace tunesmith {

// Removes the temporary files in `directory` of AtomicFileWriters that were killed, and nothing where there is no such directory. REQUIRES: nobody else writes
// there now.
void RemoveUnfinishedFiles(const std::string& directory);

}  // namespace tunesmith
