#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

// The element types of every tensor in the project: files, buffers of the step program, operands of
// ops.
namespace tunesmith {

enum class DType { kF64, kF32, kBF16, kF16, kI64, kI32, kI16, kI8, kU64, kU32, kU16, kU8, kBool };
inline constexpr int kDTypeCount = 13;

// Bytes of one element.
constexpr int64_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64:
    case DType::kU64:
      return 8;
    case DType::kF32:
    case DType::kI32:
    case DType::kU32:
      return 4;
    case DType::kBF16:
    case DType::kF16:
    case DType::kI16:
    case DType::kU16:
      return 2;
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      return 1;
  }
  return 0;
}

// Lower-case name, as on the command line and in JSON: "f32", "bf16", "i32".
constexpr std::string_view DTypeName(DType dtype) {
  constexpr std::string_view kNames[kDTypeCount] = {
      "f64", "f32", "bf16", "f16", "i64", "i32", "i16", "i8", "u64", "u32", "u16", "u8", "bool"};
  return kNames[static_cast<int>(dtype)];
}

// Inverse of DTypeName; nothing for an unknown name.
constexpr std::optional<DType> DTypeFromName(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i) {
    if (DTypeName(static_cast<DType>(i)) == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

// bf16 is the upper half of an IEEE binary32, held in a uint16_t.
constexpr float FloatFromBf16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// The upper half of `sum`, or a quiet NaN where `bits` are those of a NaN. Without branches: loops
// over conversions vectorize.
constexpr uint16_t UpperHalfOrNan(uint32_t bits, uint32_t sum) {
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<uint16_t>((is_nan ? bits | 0x400000u : sum) >> 16);
}

// Rounds to nearest even; a NaN stays a (quiet) NaN.
constexpr uint16_t Bf16FromFloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return UpperHalfOrNan(bits, bits + 0x7fffu + ((bits >> 16) & 1u));
}

// Rounds up or down with probabilities such that the result is the value on average, given uniform
// random bits; infinity stays, a NaN stays a (quiet) NaN.
constexpr uint16_t Bf16FromFloatStochastic(float value, uint16_t random_bits) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return UpperHalfOrNan(bits, bits + random_bits);
}

// IEEE binary16, held in a uint16_t. Exact.
constexpr float FloatFromF16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u)
    return std::bit_cast<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  // Subnormals and normals alike: the shifted bits are the value times 2^-112.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}

// Rounds to nearest even; beyond the range gives infinity, a NaN stays a (quiet) NaN.
constexpr uint16_t F16FromFloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and above
  if (magnitude < 0x38800000u) {
    // Below 2^-14: adding 0.5 aligns the binary32 mantissa with the subnormal's and rounds.
    const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(aligned) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

}  // namespace tunesmith
