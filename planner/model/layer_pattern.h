#pragma once

#include <bit>
#include <cstdint>

namespace tunesmith::planner {

inline constexpr int64_t kLargestPatternPeriod = 64;

// Some of a model's layers, by a pattern that repeats: layer l is among them where bit (l mod period) is set. Models of at most 64 layers can have any
// pattern. The default: no layer.
struct LayerPattern {
  int64_t period = 1;  // 1 to kLargestPatternPeriod
  uint64_t bits = 0;   // below bit `period`

  bool Has(int64_t layer) const { return bits >> (layer % period) & 1u; }
  bool empty() const { return bits == 0; }
  // Of the pattern's layers, those that it has.
  double Share() const {
    return static_cast<double>(std::popcount(bits)) / static_cast<double>(period);
  }

  bool operator==(const LayerPattern&) const = default;
};

}  // namespace tunesmith::planner
