#pragma once

#include <cstdlib>

namespace tunesmith {

// What a fuzz target claims; a crash that libFuzzer reports when it does not hold.
inline void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace tunesmith
