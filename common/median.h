#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace tunesmith {

// The middle value, the upper of two; 0 when there is none.
inline double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace tunesmith
