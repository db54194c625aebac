#pragma once

#include <string_view>

namespace tunesmith {

// Lets go of the memory that holds a part of a file that is mapped and was only read: the pages that lie within it whole. Reading it again reads the file again. REQUIRES: part of a MappedFile.
void DropPages(std::string_view mapped);

}  // namespace tunesmith
