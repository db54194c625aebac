#pragma once

#include <cuda_bf16.h>

#include <cstdint>

// What only nvcc can compile: shared memory, and the instructions of sm_80 that C++ has no words for. tests/gpu/emulation/include holds the same
// functions for g++, so that the tests run every kernel on a CPU; nothing else in the project has PTX in it.
//
// Matrix instructions belong to whole warps. With g = lane / 4 and t = lane % 4 a lane holds, of
//   A (16 x 16, bf16): rows g, g + 8, g, g + 8 in its four registers, columns 2t, 2t + 1 in the first two and 2t + 8, 2t + 9 in the last two;
//   B (16 x 8, bf16): column g, rows 2t, 2t + 1 in its first register and 2t + 8, 2t + 9 in its second;
//   C (16 x 8, f32): row g, columns 2t, 2t + 1 in the first two, row g + 8 in the last two
// (PTX ISA, "Matrix Fragments for mma.m16n8k16"). The lower half of a register is the lower column, or row.
namespace tunesmith::trainer {

// The block's one object of type T, which needs no construction.
template <typename T>
__device__ __forceinline__ T& Shared() {
  __shared__ T object;
  return object;
}

// What the launch asked for as shared_bytes, aligned to 128 bytes.
__device__ __forceinline__ std::byte* DynamicShared() {
  extern __shared__ __align__(128) unsigned char dynamic_shared[];
  return reinterpret_cast<std::byte*>(dynamic_shared);
}

__device__ __forceinline__ uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Four matrices of 8 x 8 bf16: lane 8i + j gives the address of row j of matrix i (16 bytes, aligned to 16), and register i of a lane is row g, columns
// 2t and 2t + 1, of matrix i.
__device__ __forceinline__ void LoadMatrices(const void* row, uint32_t (&registers)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(SharedAddress(row))
               : "memory");
}

// The same of the matrices' transposes.
__device__ __forceinline__ void LoadMatricesTransposed(const void* row, uint32_t (&registers)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(SharedAddress(row))
               : "memory");
}

// c += a b, bf16 products summed in f32.
__device__ __forceinline__ void MultiplyAdd(const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                            float (&c)[4]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Two values as bf16, rounded to nearest even; `low` in the lower half.
__device__ __forceinline__ uint32_t PackBf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

// 2^x with some 22 bits; results below 2^-126 are 0.
__device__ __forceinline__ float PowerOfTwo(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}

// The root with some 23 bits.
__device__ __forceinline__ float SquareRoot(float x) {
  float y;
  asm("sqrt.approx.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}

// Leaves `word` as it is, of which the compiler knows nothing then: what was computed from it before is computed again rather than kept in registers.
__device__ __forceinline__ void MakeOpaque(uint32_t& word) { asm volatile("" : "+r"(word)); }

// Starts a copy of 16 (4) bytes to shared memory, both sides aligned; where `exists` is false zeros are written and nothing is read.
__device__ __forceinline__ void CopyAsync16(void* shared, const void* global, bool exists) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(SharedAddress(shared)),
               "l"(global), "r"(exists ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void CopyAsync4(void* shared, const void* global, bool exists) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(SharedAddress(shared)),
               "l"(global), "r"(exists ? 4 : 0)
               : "memory");
}

// Ends a group of this thread's copies.
__device__ __forceinline__ void CommitCopies() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}

// Waits until at most kOutstanding of this thread's last groups are under way. Other threads see the copies after a barrier.
template <int kOutstanding>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kOutstanding) : "memory");
}

}  // namespace tunesmith::trainer
