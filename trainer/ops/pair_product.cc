#include "trainer/ops/pair_product.h"

#include <algorithm>
#include <cstring>

#include "common/units.h"
#include "common/vector_unit.h"
#include "trainer/ops/turn_square.h"

#if TUNESMITH_X86_TARGETS
#include <immintrin.h>
#endif

// Elements 2p and 2p + 1 of k stand side by side as one pair of 32 bits. B is packed into strips of two vectors of pairs, which the innermost loop walks through in
// the first-level cache, while it takes pairs of A's rows, copied beside one another, from the second.
namespace tunesmith::trainer::cpu {
namespace {

constexpr int64_t kLanes = 16;  // pairs of a vector
constexpr int64_t kStripWidth = 2 * kLanes;
// 24 sums, a vector of A and two of B leave a few of the 32 registers.
constexpr int kBlockRows = 12;

int64_t PairCount(int64_t k) { return CeilDivide(k, 2); }
int64_t PackedRowCount(int64_t m) { return AlignUp(m, kLanes); }
int64_t PackedAElements(int64_t m, int64_t k) { return PackedRowCount(m) * PairCount(k); }

}  // namespace

int64_t PairScratchElements(int64_t m, int64_t k) {
  return PackedAElements(m, k) + kStripWidth * PairCount(k);
}

#if TUNESMITH_X86_TARGETS
namespace {

#define TUNESMITH_PAIRS [[gnu::target("arch=x86-64-v4,avx512bf16")]]

// A's pairs: that of row i and pair p is data[i * row_stride + p * pair_stride].
struct PackedA {
  const uint32_t* data = nullptr;
  int64_t row_stride = 0;
  int64_t pair_stride = 0;
};

uint32_t Pair(Bf16 low, Bf16 high) {
  return uint32_t{low.bits} | static_cast<uint32_t>(high.bits) << 16;
}

// to[j] = the pair of low[j] and high[j]; without `high` the second of a pair is zero.
TUNESMITH_PAIRS void Interleave(const Bf16* low, const Bf16* high, int64_t count, uint32_t* to) {
  if (high == nullptr) {
    for (int64_t j = 0; j < count; ++j) to[j] = low[j].bits;
    return;
  }
  for (int64_t j = 0; j < count; ++j) to[j] = Pair(low[j], high[j]);
}

// Pairs of one row.
void CopyPairs(const Bf16* from, int64_t k, uint32_t* to) {
  to[PairCount(k) - 1] = 0;
  std::memcpy(to, from, static_cast<size_t>(k) * sizeof(Bf16));
}

TUNESMITH_PAIRS PackedA PackA(const PairProduct& g, uint32_t* to) {
  if (!g.transpose_a) {
    for (int64_t i = 0; i < g.m; ++i) CopyPairs(g.a + i * g.a_stride, g.k, to + i * PairCount(g.k));
    return {to, PairCount(g.k), 1};
  }
  const int64_t stride = PackedRowCount(g.m);
  for (int64_t l = 0; l < g.k; l += 2) {
    const Bf16* const low = g.a + l * g.a_stride;
    Interleave(low, l + 1 < g.k ? low + g.a_stride : nullptr, g.m, to + l / 2 * stride);
  }
  return {to, 1, stride};
}

// A strip of B: to[p * kStripWidth + j], zero beyond `count` columns.
TUNESMITH_PAIRS void PackInOrder(const PairProduct& g, int64_t column, int64_t count,
                                 uint32_t* to) {
  for (int64_t l = 0; l < g.k; l += 2, to += kStripWidth) {
    const Bf16* const low = g.b + l * g.b_stride + column;
    Interleave(low, l + 1 < g.k ? low + g.b_stride : nullptr, count, to);
    std::fill(to + count, to + kStripWidth, 0u);
  }
}

// Pairs stand side by side in B's rows: squares of them are turned where rows begin at a whole pair.
TUNESMITH_PAIRS void PackTransposed(const PairProduct& g, int64_t column, int64_t count,
                                    uint32_t* to) {
  const Bf16* const from = g.b + column * g.b_stride;
  const bool turns = g.b_stride % 2 == 0;
  const int64_t whole = turns ? count / kLanes * kLanes : 0,
                deep = turns ? g.k / 2 / kLanes * kLanes : 0;
  for (int64_t j = 0; j < whole; j += kLanes) {
    for (int64_t p = 0; p < deep; p += kLanes)
      TurnSquare<kLanes>(reinterpret_cast<const float*>(from + j * g.b_stride + 2 * p),
                         g.b_stride / 2, reinterpret_cast<float*>(to + p * kStripWidth + j),
                         kStripWidth);
  }
  for (int64_t j = 0; j < kStripWidth; ++j) {
    const Bf16* const row = from + j * g.b_stride;
    for (int64_t p = j < whole ? deep : 0; p < PairCount(g.k); ++p) {
      const Bf16 high = 2 * p + 1 < g.k && j < count ? row[2 * p + 1] : Bf16{};
      to[p * kStripWidth + j] = j < count ? Pair(row[2 * p], high) : 0;
    }
  }
}

// What a block of C's rows, kStripWidth wide, is made of.
struct PairBlock {
  int64_t pair_count = 0;
  PackedA a;
  const uint32_t* b = nullptr;
  int64_t column_count = 0;  // that exist
  float alpha = 1;
  bool accumulate = false;
  float* c = nullptr;
  int64_t c_stride = 0;
};

// C's elements of the lanes that exist.
TUNESMITH_PAIRS inline void StoreVector(const PairBlock& p, __m512 sum, float* c, int64_t column) {
  const int64_t left = std::clamp<int64_t>(p.column_count - column, 0, kLanes);
  const auto mask = static_cast<__mmask16>((1u << left) - 1);
  __m512 value = _mm512_mul_ps(_mm512_set1_ps(p.alpha), sum);
  if (p.accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, c + column));
  _mm512_mask_storeu_ps(c + column, mask, value);
}

template <int kRows>
TUNESMITH_PAIRS void MultiplyBlock(const PairBlock& p) {
  __m512 sums[kRows][2];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) sums[i][0] = sums[i][1] = _mm512_setzero_ps();
  const uint32_t* a = p.a.data;
  const uint32_t* b = p.b;
  for (int64_t l = 0; l < p.pair_count; ++l, a += p.a.pair_stride, b += kStripWidth) {
    const auto first = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b));
    const auto second = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + kLanes));
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const auto pair =
          reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a[i * p.a.row_stride])));
      sums[i][0] = _mm512_dpbf16_ps(sums[i][0], pair, first);
      sums[i][1] = _mm512_dpbf16_ps(sums[i][1], pair, second);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    StoreVector(p, sums[i][0], p.c + i * p.c_stride, 0);
    StoreVector(p, sums[i][1], p.c + i * p.c_stride, kLanes);
  }
}

TUNESMITH_PAIRS void MultiplyStrip(PairBlock block, int64_t row_count) {
  const auto next = [&block](int64_t rows) {
    block.a.data += rows * block.a.row_stride;
    block.c += rows * block.c_stride;
  };
  for (; row_count >= kBlockRows; row_count -= kBlockRows, next(kBlockRows))
    MultiplyBlock<kBlockRows>(block);
  for (; row_count >= 4; row_count -= 4, next(4)) MultiplyBlock<4>(block);
  for (; row_count > 0; --row_count, next(1)) MultiplyBlock<1>(block);
}

}  // namespace

bool HasPairProducts() {
  static const bool has = HasBf16Pairs();
  return has;
}

TUNESMITH_PAIRS void RunPairProduct(const PairProduct& g, float* scratch) {
  auto* const packed = reinterpret_cast<uint32_t*>(scratch);
  uint32_t* const strip = packed + PackedAElements(g.m, g.k);
  PairBlock block{.pair_count = PairCount(g.k),
                  .a = PackA(g, packed),
                  .b = strip,
                  .alpha = g.alpha,
                  .accumulate = g.accumulate,
                  .c_stride = g.c_stride};
  for (int64_t column = 0; column < g.n; column += kStripWidth) {
    block.column_count = std::min(kStripWidth, g.n - column);
    block.c = g.c + column;
    if (g.transpose_b) {
      PackTransposed(g, column, block.column_count, strip);
    } else {
      PackInOrder(g, column, block.column_count, strip);
    }
    MultiplyStrip(block, g.m);
  }
}

#else

bool HasPairProducts() { return false; }
void RunPairProduct(const PairProduct&, float*) {}

#endif

}  // namespace tunesmith::trainer::cpu
