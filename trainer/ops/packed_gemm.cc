#include "trainer/ops/packed_gemm.h"

#include <algorithm>

#include "common/units.h"
#include "common/vector_unit.h"
#include "trainer/ops/register_block.h"
#include "trainer/ops/turn_square.h"

// C is cut into parts, each part's k into slices; a slice of op(B) is packed into strips of two vectors' width, so that the innermost loop
// (register_block.h) walks through a strip in the first-level cache while it takes rows of op(A) from the second. op(A) is read where it lies
// when its rows are; a transposed A is packed into groups of a block's rows.
//
// Which operand is cut finer follows from what is packed: parts share no packed memory, so with A in place only columns are cut, and each
// element of B is packed once; with a packed A only rows.
namespace tunesmith::trainer::cpu {
namespace {

constexpr int64_t kDepth = 256;    // of a slice
constexpr int64_t kColumns = 256;  // of a part, at most, where A is in place
// Of a part, at most: a slice of so many rows of A stays in the second-level cache.
constexpr int64_t kRowsInPlace = 512;
constexpr int64_t kRowsPacked = 256;  // likewise, with a copy of A beside the original
constexpr int64_t kDeep = 4096;
constexpr int64_t kFewRows = 32;     // up to here packing B costs more than it saves
constexpr int64_t kEnoughParts = 6;  // for a few threads to end together
constexpr int64_t kLeastRows = 64, kLeastColumns = 64;
// Rows so many elements apart, or a multiple, compete for the same places in a cache.
constexpr int64_t kAliasing = 1024;
constexpr int64_t kPadding = 16;
constexpr int64_t kWidestStrip = 32;

// Packed operands of the thread: outside the arena, of constant size, as a library's buffers are.
struct Buffers {
  alignas(64) float a[(kDepth + kPadding) * kRowsInPlace];
  alignas(64) float b[kDepth * kWidestStrip];
};
thread_local Buffers buffers;

// The size of `count` equal parts of `size`, the last may be smaller, in whole steps.
int64_t PartSize(int64_t size, int64_t count, int64_t step) {
  return AlignUp(CeilDivide(size, count), step);
}

struct PartShape {
  int64_t rows = 0;
  int64_t columns = 0;
};

// Depends on the product's shape alone.
PartShape ChooseParts(const Gemm<float>& g) {
  constexpr int64_t kRowStep = 8, kColumnStep = 32;
  // A deep A does not stay in any cache for the next part that reads it: fewer columns parts, more rows parts.
  const bool copies_rows = g.transpose_a || g.k >= kDeep;
  int64_t row_parts = CeilDivide(g.m, copies_rows ? kRowsPacked : kRowsInPlace);
  int64_t column_parts = g.transpose_a ? 1 : CeilDivide(g.n, kColumns);
  const auto cut = [&](int64_t& parts, int64_t others, int64_t size, int64_t least) {
    while (parts * others < kEnoughParts && size / (parts + 1) >= least) ++parts;
  };
  if (g.transpose_a) {
    cut(row_parts, column_parts, g.m, kLeastRows);
    cut(column_parts, row_parts, g.n, kLeastColumns);
  } else {
    cut(column_parts, row_parts, g.n, kLeastColumns);
    cut(row_parts, column_parts, g.m, kLeastRows);
  }
  return {PartSize(g.m, row_parts, kRowStep), PartSize(g.n, column_parts, kColumnStep)};
}

struct Range {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
};

// Rows of op(A) in groups: element (i, l) of a group is data[i * row_stride + l * column_stride].
struct PackedRows {
  const float* data = nullptr;
  int64_t row_stride = 0;
  int64_t column_stride = 0;
  int64_t group_stride = 0;
};

template <int kRows>
TUNESMITH_INLINE PackedRows PackTransposed(const Gemm<float>& g, Range rows, Range depth,
                                           float* to) {
  // The padding keeps the groups' parts of one row of A from competing for the same places in the cache.
  const PackedRows packed{.data = to,
                          .row_stride = 1,
                          .column_stride = kRows,
                          .group_stride = kRows * depth.size() + kPadding};
  const float* from = g.a + depth.begin * g.a_stride + rows.begin;
  for (int64_t l = 0; l < depth.size(); ++l, from += g.a_stride) {
    float* group = to + l * kRows;
    int64_t i = 0;
    for (; i + kRows <= rows.size(); i += kRows, group += packed.group_stride) {
      for (int r = 0; r < kRows; ++r) group[r] = from[i + r];
    }
    for (int64_t r = 0; i + r < rows.size(); ++r) group[r] = from[i + r];
  }
  return packed;
}

// `once`: every element is read for one strip only, which is no more than packing would do.
template <int kRows>
TUNESMITH_INLINE PackedRows PackA(const Gemm<float>& g, Range rows, Range depth, bool once,
                                  float* to) {
  if (g.transpose_a && once)
    return {g.a + depth.begin * g.a_stride + rows.begin, 1, g.a_stride, kRows};
  if (g.transpose_a) return PackTransposed<kRows>(g, rows, depth, to);
  const float* from = g.a + rows.begin * g.a_stride + depth.begin;
  if (once || g.a_stride % kAliasing != 0) return {from, g.a_stride, 1, kRows * g.a_stride};
  const int64_t stride = kDepth + kPadding;
  for (int64_t i = 0; i < rows.size(); ++i)
    std::copy_n(from + i * g.a_stride, depth.size(), to + i * stride);
  return {to, stride, 1, kRows * stride};
}

// A strip: to[l * width + j] = op(B)[depth.begin + l][column + j], zero beyond `count` columns.
template <int kLanes>
TUNESMITH_INLINE void PackStripTransposed(const Gemm<float>& g, Range depth, int64_t column,
                                          int64_t count, int64_t width, float* to) {
  const float* from = g.b + column * g.b_stride + depth.begin;
  const int64_t whole = count / kLanes * kLanes, deep = depth.size() / kLanes * kLanes;
  for (int64_t j = 0; j < whole; j += kLanes) {
    for (int64_t l = 0; l < deep; l += kLanes)
      TurnSquare<kLanes>(from + j * g.b_stride + l, g.b_stride, to + l * width + j, width);
  }
  for (int64_t j = 0; j < width; ++j) {
    for (int64_t l = j < whole ? deep : 0; l < depth.size(); ++l)
      to[l * width + j] = j < count ? from[j * g.b_stride + l] : 0.0f;
  }
}

TUNESMITH_INLINE void PackStripInOrder(const Gemm<float>& g, Range depth, int64_t column,
                                       int64_t count, int64_t width, float* to) {
  const float* from = g.b + depth.begin * g.b_stride + column;
  for (int64_t l = 0; l < depth.size(); ++l, from += g.b_stride, to += width) {
    if (count == width) {
      for (int64_t j = 0; j < width; ++j) to[j] = from[j];
    } else {
      for (int64_t j = 0; j < width; ++j) to[j] = j < count ? from[j] : 0.0f;
    }
  }
}

// Columns [column, column + width) of C, of which `count` exist, for all rows of the part.
struct Strip {
  int64_t column = 0;
  int64_t count = 0;
  const float* b = nullptr;
  int64_t b_stride = 0;
};

constexpr int64_t kLine = 64 / sizeof(float);  // of a cache

// The part of op(B) that the next strip is packed from, where it lies: asked for line by line while this strip is multiplied, because it comes
// from memory that is far away.
class Ahead {
 public:
  Ahead(const Gemm<float>& g, Range depth, int64_t column, int64_t count, int64_t step_count)
      : stride_(g.b_stride) {
    if (count <= 0) return;
    const int64_t rows = g.transpose_b ? count : depth.size(),
                  width = g.transpose_b ? depth.size() : count;
    from_ = g.b + (g.transpose_b ? column * stride_ + depth.begin : depth.begin * stride_ + column);
    lines_ = CeilDivide(width, kLine);
    left_ = rows * lines_;
    per_step_ = CeilDivide(left_, std::max<int64_t>(step_count, 1));
  }

  TUNESMITH_INLINE void Step() {
    for (int64_t i = std::min(per_step_, left_); i > 0; --i) {
      __builtin_prefetch(from_ + line_ * kLine, 0, 2);
      if (++line_ < lines_) continue;
      line_ = 0;
      from_ += stride_;
    }
    left_ -= std::min(per_step_, left_);
  }

 private:
  const float* from_ = nullptr;
  int64_t stride_ = 0;
  int64_t lines_ = 0;  // of a row
  int64_t line_ = 0;
  int64_t left_ = 0;
  int64_t per_step_ = 0;
};

// What the next block writes.
template <int kRows, int kWidth>
TUNESMITH_INLINE void PrefetchResult(const float* c, int64_t stride) {
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < kWidth; j += kLine) __builtin_prefetch(c + r * stride + j, 1, 3);
  }
}

template <int kLanes, int kRows, int kVectors>
TUNESMITH_INLINE void MultiplyStrip(const Gemm<float>& g, Range rows, Range depth,
                                    const PackedRows& a, const Strip& strip, Ahead ahead) {
  constexpr int64_t kWidth = kLanes * kVectors;
  float edge[kRows * kWidth];
  const bool accumulate = g.beta != 0 || depth.begin > 0;
  for (int64_t i = rows.begin; i < rows.end; i += kRows) {
    const int64_t row_count = std::min<int64_t>(kRows, rows.end - i);
    float* const c = g.c + i * g.c_stride + strip.column;
    ahead.Step();
    if (i + 2 * kRows <= rows.end)
      PrefetchResult<kRows, kWidth>(c + kRows * g.c_stride, g.c_stride);
    BlockOperands<float> block{.k = depth.size(),
                               .a = a.data + (i - rows.begin) / kRows * a.group_stride,
                               .a_row_stride = a.row_stride,
                               .a_column_stride = a.column_stride,
                               .b = strip.b,
                               .b_stride = strip.b_stride,
                               .c = c,
                               .c_stride = g.c_stride,
                               .alpha = g.alpha,
                               .accumulate = accumulate};
    if (strip.count == kWidth) {
      RegisterColumn<float, kLanes, kRows, kVectors>(block, row_count);
      continue;
    }
    // The block is wider than what is left of C.
    block.c = edge;
    block.c_stride = kWidth;
    block.accumulate = false;
    RegisterColumn<float, kLanes, kRows, kVectors>(block, row_count);
    for (int64_t r = 0; r < row_count; ++r) {
      for (int64_t j = 0; j < strip.count; ++j) {
        float& value = c[r * g.c_stride + j];
        value = accumulate ? value + edge[r * kWidth + j] : edge[r * kWidth + j];
      }
    }
  }
}

template <int kLanes, int kRows>
TUNESMITH_INLINE void MultiplySlice(const Gemm<float>& g, Range rows, Range columns, Range depth,
                                    const PackedRows& a) {
  constexpr int64_t kWidth = 2 * kLanes;
  static_assert(kWidth <= kWidestStrip);
  const bool in_place = !g.transpose_b && rows.size() <= kFewRows;
  for (int64_t column = columns.begin; column < columns.end; column += kWidth) {
    const int64_t count = std::min<int64_t>(kWidth, columns.end - column);
    const bool narrow = count <= kLanes;
    const int64_t width = narrow ? kLanes : kWidth;
    Strip strip{.column = column, .count = count, .b = buffers.b, .b_stride = width};
    if (in_place && count == width) {
      strip.b = g.b + depth.begin * g.b_stride + column;
      strip.b_stride = g.b_stride;
    } else if (g.transpose_b) {
      PackStripTransposed<kLanes>(g, depth, column, count, width, buffers.b);
    } else {
      PackStripInOrder(g, depth, column, count, width, buffers.b);
    }
    const int64_t next = column + kWidth;
    const Ahead ahead(g, depth, next, std::min<int64_t>(kWidth, columns.end - next),
                      CeilDivide(rows.size(), kRows));
    if (narrow) {
      MultiplyStrip<kLanes, kRows, 1>(g, rows, depth, a, strip, ahead);
    } else {
      MultiplyStrip<kLanes, kRows, 2>(g, rows, depth, a, strip, ahead);
    }
  }
}

template <int kLanes, int kRows>
TUNESMITH_INLINE void MultiplyPart(const Gemm<float>& g, Range rows, Range columns) {
  const int64_t step = PartSize(g.k, CeilDivide(g.k, kDepth), 16);
  const bool once = columns.size() <= 2 * kLanes;
  for (int64_t l = 0; l < g.k; l += step) {
    const Range depth{l, std::min(g.k, l + step)};
    MultiplySlice<kLanes, kRows>(g, rows, columns, depth,
                                 PackA<kRows>(g, rows, depth, once, buffers.a));
  }
}

using Function = void (*)(const Gemm<float>&, Range, Range);

#if TUNESMITH_X86_TARGETS
[[gnu::target("arch=x86-64-v4")]] void MultiplyV4(const Gemm<float>& g, Range rows, Range columns) {
  MultiplyPart<16, 8>(g, rows, columns);
}
[[gnu::target("arch=x86-64-v3")]] void MultiplyV3(const Gemm<float>& g, Range rows, Range columns) {
  MultiplyPart<8, 6>(g, rows, columns);
}
#endif

Function Choose() {
#if TUNESMITH_X86_TARGETS
  if (WidestVectorUnit() == VectorUnit::k512) return MultiplyV4;
  if (WidestVectorUnit() == VectorUnit::k256) return MultiplyV3;
#endif
  return nullptr;
}

Function Chosen() {
  static const Function function = Choose();
  return function;
}

}  // namespace

bool HasPackedGemm() { return Chosen() != nullptr; }

void RunPackedGemm(ThreadPool& threads, const Gemm<float>& g) {
  const Function multiply = Chosen();
  const PartShape part = ChooseParts(g);
  const int64_t column_parts = CeilDivide(g.n, part.columns);
  threads.ForEach(CeilDivide(g.m, part.rows) * column_parts, threads.thread_count(),
                  [&](int64_t item, int) {
                    const int64_t row = item / column_parts * part.rows;
                    const int64_t column = item % column_parts * part.columns;
                    multiply(g, {row, std::min(g.m, row + part.rows)},
                             {column, std::min(g.n, column + part.columns)});
                  });
}

}  // namespace tunesmith::trainer::cpu
