#pragma once

#include <cmath>
#include <cstdint>

namespace tunesmith::trainer {

// The slope of ALiBi (Press, Smith and Lewis 2022, arXiv 2108.12409) for query head `head`: of n heads, n a power of two, 2^(-bias_max (head + 1) / n);
// of others, those of the largest power of two below, then every other one of twice as many. 0 where bias_max is 0.
inline double AlibiSlope(int64_t head, int64_t head_count, double bias_max) {
  if (bias_max == 0) return 0;
  int64_t power = 1;
  while (2 * power <= head_count) power *= 2;
  const bool within = head < power;
  const int64_t step = within ? head + 1 : 2 * (head - power) + 1;
  return std::exp2(-bias_max * static_cast<double>(step) /
                   static_cast<double>(within ? power : 2 * power));
}

}  // namespace tunesmith::trainer
