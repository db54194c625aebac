#pragma once

#include <cuda_bf16.h>

#include <cmath>
#include <cstddef>

// trainer/cuda/intrinsics.cuh for g++.
namespace tunesmith::trainer {

template <typename T>
T& Shared() {
  static constexpr char kKey = 0;
  return *static_cast<T*>(emulation::SharedObject(&kKey, sizeof(T), alignof(T)));
}

inline std::byte* DynamicShared() {
  return static_cast<std::byte*>(emulation::DynamicSharedMemory());
}

struct MatrixLoad {
  const void* row;
  uint32_t* registers;
};

template <bool kTransposed>
void CompleteLoad(void* const* lanes, uint32_t) {
  uint16_t matrices[4][8][8];
  for (int lane = 0; lane < 32; ++lane) {
    const void* const row = static_cast<const MatrixLoad*>(lanes[lane])->row;
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
      emulation::Fail("ldmatrix: a row is misaligned");
    std::memcpy(matrices[lane / 8][lane % 8], row, 16);
  }
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const auto& m = matrices[i];
      const uint32_t low = kTransposed ? m[2 * t][g] : m[g][2 * t];
      const uint32_t high = kTransposed ? m[2 * t + 1][g] : m[g][2 * t + 1];
      static_cast<const MatrixLoad*>(lanes[lane])->registers[i] = low | high << 16;
    }
  }
}

inline void LoadMatrices(const void* row, uint32_t (&registers)[4],
                         emulation::Site site = emulation::Site::current()) {
  MatrixLoad load = {row, registers};
  emulation::Meet("ldmatrix", 0xffffffffu, &load, CompleteLoad<false>, site);
}

inline void LoadMatricesTransposed(const void* row, uint32_t (&registers)[4],
                                   emulation::Site site = emulation::Site::current()) {
  MatrixLoad load = {row, registers};
  emulation::Meet("ldmatrix.trans", 0xffffffffu, &load, CompleteLoad<true>, site);
}

struct Product {
  const uint32_t* a;
  uint32_t b0, b1;
  float* c;
};

inline float HalfOf(uint32_t value, int half) {
  return FloatFromBf16(static_cast<uint16_t>(value >> 16 * half));
}

// One sum after the other, in f32; the device's order and rounding within an instruction are its own.
inline void CompleteProduct(void* const* lanes, uint32_t) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& p = *static_cast<const Product*>(lanes[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][2 * t + half + i / 2 * 8] = HalfOf(p.a[i], half);
      b[2 * t + half][g] = HalfOf(p.b0, half);
      b[2 * t + half + 8][g] = HalfOf(p.b1, half);
    }
  }
  float c[16][8] = {};
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 16; ++k) {
      for (int j = 0; j < 8; ++j) c[i][j] += a[i][k] * b[k][j];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const auto& p = *static_cast<const Product*>(lanes[lane]);
    for (int i = 0; i < 4; ++i) p.c[i] += c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
  }
}

inline void MultiplyAdd(const uint32_t (&a)[4], uint32_t b0, uint32_t b1, float (&c)[4],
                        emulation::Site site = emulation::Site::current()) {
  Product product = {a, b0, b1, c};
  emulation::Meet("mma", 0xffffffffu, &product, CompleteProduct, site);
}

inline uint32_t PackBf16(float low, float high) {
  return Bf16FromFloat(low) | static_cast<uint32_t>(Bf16FromFloat(high)) << 16;
}

inline float PowerOfTwo(float x) { return std::exp2(x); }

inline float SquareRoot(float x) { return std::sqrt(x); }

inline void MakeOpaque(uint32_t&) {}

inline void CopyAsync16(void* shared, const void* global, bool exists) {
  emulation::CopyLater(shared, global, 16, exists ? 16 : 0);
}
inline void CopyAsync4(void* shared, const void* global, bool exists) {
  emulation::CopyLater(shared, global, 4, exists ? 4 : 0);
}
inline void CommitCopies() { emulation::CommitCopies(); }
template <int kOutstanding>
void WaitForCopies() {
  emulation::WaitForCopies(kOutstanding);
}

}  // namespace tunesmith::trainer
