#include "common/drop_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace tunesmith {

void DropPages(std::string_view mapped) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(mapped.data());
  const uintptr_t first = (begin + page - 1) / page * page,
                  last = (begin + mapped.size()) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace tunesmith
