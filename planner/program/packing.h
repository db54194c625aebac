#pragma once

#include <cstdint>
#include <vector>

namespace tunesmith::planner {

// One piece of memory that is needed from step `first` to step `last`, both included.
struct Lifetime {
  int64_t bytes = 0;
  int64_t first = 0;
  int64_t last = 0;
};

struct Packing {
  int64_t bytes = 0;                  // of the whole region
  std::vector<int64_t> offsets = {};  // by piece
};

// Places pieces so that those alive at the same time do not overlap: largest first, each at the lowest offset that is free (greedy by size;
// Pisarchyk and Lee, arXiv 2001.03288). Sizes are rounded up to `alignment`.
Packing PackLifetimes(const std::vector<Lifetime>& pieces, int64_t alignment);

}  // namespace tunesmith::planner
