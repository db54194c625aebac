#pragma once

#include <array>
#include <cstdint>

// The 8-bit codes of optimizer moments: dynamic (tree) quantization of Dettmers et al., "8-bit Optimizers via Block-wise Quantization"
// (arXiv 2110.02861), over blocks of kStateBlockSize elements that share a scale, the largest magnitude in the
// block. A code stands for a number in [-1, 1] (signed) or [0, 1] (unsigned) times the scale.
//
// The numbers cover seven decades below 1. The lowest holds one number of each sign (two where there are none), and each next one twice as
// many as the one before, in the middles of as many equal parts of its [0.1, 1]; zero and 1 are numbers too. That makes 256. A linear map
// would give a second moment below 1/510 of its block's largest the value zero, and in the paper's ablations 8-bit Adam with a linear map is
// unstable where it is not with this one. The paper's blocks have 2048 elements, the authors' library bitsandbytes came to use 256.
namespace tunesmith::trainer {

struct DynamicMap {
  std::array<float, 256> values = {};     // by code, ascending
  std::array<float, 255> midpoints = {};  // between neighbours
};

// The end of the k-th of `count` equal parts of [0.1, 1], rounded as bitsandbytes' tables are (torch.linspace: from the nearer end, one rounding).
constexpr float PartEnd(int k, int count) {
  const double step = (1.0f - 0.1f) / static_cast<float>(count);
  return static_cast<float>(k < (count + 1) / 2 ? 0.1f + step * k : 1.0 - step * (count - k));
}

constexpr DynamicMap MakeDynamicMap(bool is_signed) {
  constexpr int kDecades = 7;
  constexpr float kTop[kDecades] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
  DynamicMap map;
  const int zero = is_signed ? 127 : 0;
  int magnitude = 1;
  for (int decade = 0; decade < kDecades; ++decade) {
    const int count = (is_signed ? 1 : 2) << decade;
    for (int i = 0; i < count; ++i, ++magnitude) {
      const float middle = (PartEnd(i, count) + PartEnd(i + 1, count)) / 2;
      const float value = kTop[decade] * middle;
      map.values[zero + magnitude] = value;
      if (is_signed) map.values[zero - magnitude] = -value;
    }
  }
  map.values[255] = 1.0f;
  for (int i = 0; i < 255; ++i) map.midpoints[i] = 0.5f * (map.values[i] + map.values[i + 1]);
  return map;
}

inline constexpr DynamicMap kSignedMap = MakeDynamicMap(true);
inline constexpr DynamicMap kUnsignedMap = MakeDynamicMap(false);

// The code of the number nearest to x: how many midpoints lie below it.
constexpr uint8_t NearestCode(const float* midpoints, float x) {
  int code = 0;
  for (int bit = 7; bit >= 0; --bit) {
    const int step = 1 << bit;
    code += midpoints[code + step - 1] < x ? step : 0;
  }
  return static_cast<uint8_t>(code);
}

// As NearestCode, but only zero becomes zero: an update divides by the root of a second moment, and one that was rounded to zero beside a
// first moment that was not would make a step of any size (the "zero-point problem" of Li et al., arXiv 2309.01507).
constexpr uint8_t NearestPositiveCode(const float* midpoints, float x) {
  const uint8_t code = NearestCode(midpoints, x);
  return code == 0 && x > 0 ? uint8_t{1} : code;
}

}  // namespace tunesmith::trainer
