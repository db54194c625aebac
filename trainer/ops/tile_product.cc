#include "trainer/ops/tile_product.h"

#include "common/vector_unit.h"
#include "trainer/ops/register_block.h"

namespace tunesmith::trainer::cpu {
namespace {

template <typename T, int kLanes, int kRows>
TUNESMITH_INLINE void Multiply(const TileProduct<T>& p) {
  for (int64_t column = 0; column < p.n; column += 2 * kLanes) {
    RegisterColumn<T, kLanes, kRows, 2>({.k = p.k,
                                         .a = p.a,
                                         .a_row_stride = p.a_row_stride,
                                         .a_column_stride = p.a_column_stride,
                                         .b = p.b + column,
                                         .b_stride = p.b_stride,
                                         .c = p.c + column,
                                         .c_stride = p.c_stride,
                                         .accumulate = p.accumulate},
                                        p.m);
  }
}

// A block's height leaves no register unused (there are 32 of 64 bytes, 16 of 32 and 16 of 16), and keeps at least the eight sums in flight that the
// latency of a fused multiply-add asks for.
#if TUNESMITH_X86_TARGETS
template <typename T>
[[gnu::target("arch=x86-64-v4")]] void MultiplyV4(const TileProduct<T>& p) {
  Multiply<T, 64 / sizeof(T), 8>(p);
}
template <typename T>
[[gnu::target("arch=x86-64-v3")]] void MultiplyV3(const TileProduct<T>& p) {
  Multiply<T, 32 / sizeof(T), 6>(p);
}
#endif
template <typename T>
void MultiplyAnywhere(const TileProduct<T>& p) {
  Multiply<T, 16 / sizeof(T), 6>(p);
}

template <typename T>
using Function = void (*)(const TileProduct<T>&);

template <typename T>
Function<T> Choose() {
#if TUNESMITH_X86_TARGETS
  if (WidestVectorUnit() == VectorUnit::k512) return MultiplyV4<T>;
  if (WidestVectorUnit() == VectorUnit::k256) return MultiplyV3<T>;
#endif
  return MultiplyAnywhere<T>;
}

}  // namespace

void RunTileProduct(const TileProduct<float>& product) {
  static const Function<float> function = Choose<float>();
  function(product);
}

void RunTileProduct(const TileProduct<double>& product) {
  static const Function<double> function = Choose<double>();
  function(product);
}

}  // namespace tunesmith::trainer::cpu
