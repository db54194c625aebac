#include "common/vector_unit.h"

namespace tunesmith {

VectorUnit WidestVectorUnit() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw"))
    return VectorUnit::k512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return VectorUnit::k256;
#endif
  return VectorUnit::k128;
}

bool HasBf16Pairs() {
#if defined(__x86_64__)
  return WidestVectorUnit() == VectorUnit::k512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace tunesmith
