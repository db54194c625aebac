#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "planner/program/op.h"
#include "trainer/ops/dynamic_map.h"

// 4-bit NormalFloat (Dettmers et al., "QLoRA", arXiv 2305.14314, section 3 and appendix E) in the layout of bitsandbytes: blocks of
// kNf4BlockSize elements of the row-major matrix share the largest magnitude in the block; a code stands for a number in [-1, 1] times that; two
// codes to a byte, the earlier element in the high half. With double quantization the magnitudes, less their mean, are 8-bit signed dynamic codes
// (dynamic_map.h) in blocks of kNf4ScaleBlockSize.
namespace tunesmith::trainer {

inline constexpr std::array<float, 16> kNf4Values = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// The code of the number nearest to x: how many midpoints between neighbours lie below it.
constexpr uint8_t Nf4Code(float x) {
  int code = 0;
  for (int i = 0; i < 15; ++i) code += 0.5f * (kNf4Values[i] + kNf4Values[i + 1]) < x ? 1 : 0;
  return static_cast<uint8_t>(code);
}

// A quantized matrix, as the buffers of planner::Parameter hold it.
struct Nf4Weight {
  std::vector<uint8_t> codes;
  std::vector<float> absmax;  // of each block; empty with double quantization
  std::vector<uint8_t> absmax_codes;
  std::vector<float> absmax_scales;
  float absmax_offset = 0;

  bool double_quantized() const { return !absmax_codes.empty(); }
};

// REQUIRES: an even number of values. A block of zeros has the magnitude 0.
Nf4Weight QuantizeNf4(absl::Span<const float> values, bool double_quantization);

// What the codes stand for, rounded as bitsandbytes rounds. REQUIRES: out has two elements for each byte of codes.
void ReadNf4(const Nf4Weight& weight, absl::Span<float> out);

}  // namespace tunesmith::trainer
