#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/gpu/twins.h"

// What tests of attention share.
namespace tunesmith::trainer {

struct AttentionCase {
  int64_t rows, context, heads, kv_heads, head_size;
};

inline Shape QueriesOf(const AttentionCase& c) {
  return {c.rows * c.context, c.heads * c.head_size};
}
inline Shape KeysOf(const AttentionCase& c) {
  return {c.rows * c.context, c.kv_heads * c.head_size};
}

// q, k and v, or their gradients: a matrix each, or columns of one.
struct HeadTwins {
  AttentionCase sizes;
  Twin *q, *k, *v;
  int64_t k_begin = 0, v_begin = 0;

  template <typename Pick>
  Tensor Q(Pick pick) const {
    return ColumnsOf(pick(*q), 0, QueriesOf(sizes).d1);
  }
  template <typename Pick>
  Tensor K(Pick pick) const {
    return ColumnsOf(pick(*k), k_begin, KeysOf(sizes).d1);
  }
  template <typename Pick>
  Tensor V(Pick pick) const {
    return ColumnsOf(pick(*v), v_begin, KeysOf(sizes).d1);
  }
};

// `make`(name, shape) makes a twin.
template <typename Make>
HeadTwins MakeHeads(const AttentionCase& c, bool side_by_side, Make make) {
  if (!side_by_side) {
    Twin *const q = &make("q", QueriesOf(c)), *const k = &make("k", KeysOf(c));
    return {c, q, k, &make("v", KeysOf(c))};
  }
  const int64_t queries = QueriesOf(c).d1, keys = KeysOf(c).d1;
  Twin* const all = &make("qkv", Shape{c.rows * c.context, queries + 2 * keys});
  return {c, all, all, all, queries, queries + keys};
}

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
