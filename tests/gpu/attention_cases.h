#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

// What tests of attention share.
namespace tunesmith::trainer {

struct AttentionCase {
  int64_t rows, context, heads, kv_heads, head_size;
};

// Documents of random lengths from 1 up, the last one cut by the end of the row.
inline std::vector<int32_t> DocumentStarts(const AttentionCase& c,
                                           const std::vector<int32_t>& lengths) {
  std::vector<int32_t> starts;
  size_t next = 0;
  for (int64_t row = 0; row < c.rows; ++row) {
    int64_t t = 0;
    while (t < c.context) {
      const int64_t end = std::min(c.context, t + lengths[next++ % lengths.size()]);
      starts.insert(starts.end(), static_cast<size_t>(end - t), static_cast<int32_t>(t));
      t = end;
    }
  }
  return starts;
}

}  // namespace tunesmith::trainer
