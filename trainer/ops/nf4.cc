#include "trainer/ops/nf4.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/units.h"

namespace tunesmith::trainer {
namespace {

using planner::kNf4BlockSize;
using planner::kNf4ScaleBlockSize;

float LargestMagnitude(absl::Span<const float> values) {
  float largest = 0;
  for (float x : values) largest = std::max(largest, std::abs(x));
  return largest;
}

// `inverse` is 0 for a block of zeros, whose elements then are 0.
void EncodeBlock(absl::Span<const float> values, float inverse, uint8_t* codes) {
  for (size_t i = 0; i < values.size(); i += 2) {
    const int high = Nf4Code(values[i] * inverse), low = Nf4Code(values[i + 1] * inverse);
    codes[i / 2] = static_cast<uint8_t>(high << 4 | low);
  }
}

float InverseOf(float x) { return x > 0 ? 1.0f / x : 0.0f; }

void QuantizeMagnitudes(Nf4Weight& w) {
  const double sum = std::accumulate(w.absmax.begin(), w.absmax.end(), 0.0);
  w.absmax_offset = static_cast<float>(sum / static_cast<double>(w.absmax.size()));
  for (float& magnitude : w.absmax) magnitude -= w.absmax_offset;
  w.absmax_codes.resize(w.absmax.size());
  for (size_t begin = 0; begin < w.absmax.size(); begin += kNf4ScaleBlockSize) {
    const auto block = absl::MakeConstSpan(w.absmax).subspan(begin, kNf4ScaleBlockSize);
    const float scale = LargestMagnitude(block), inverse = InverseOf(scale);
    w.absmax_scales.push_back(scale);
    for (size_t i = 0; i < block.size(); ++i)
      w.absmax_codes[begin + i] = NearestCode(kSignedMap.midpoints.data(), block[i] * inverse);
  }
  w.absmax.clear();
}

}  // namespace

Nf4Weight QuantizeNf4(absl::Span<const float> values, bool double_quantization) {
  Nf4Weight w;
  w.codes.resize(values.size() / 2);
  for (size_t begin = 0; begin < values.size(); begin += kNf4BlockSize) {
    const auto block = values.subspan(begin, kNf4BlockSize);
    w.absmax.push_back(LargestMagnitude(block));
    EncodeBlock(block, InverseOf(w.absmax.back()), w.codes.data() + begin / 2);
  }
  if (double_quantization) QuantizeMagnitudes(w);
  return w;
}

void ReadNf4(const Nf4Weight& weight, absl::Span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t block = i / kNf4BlockSize;
    float magnitude = 0;
    if (weight.double_quantized()) {
      magnitude = kSignedMap.values[weight.absmax_codes[block]] *
                  weight.absmax_scales[block / kNf4ScaleBlockSize];
      magnitude += weight.absmax_offset;
    } else {
      magnitude = weight.absmax[block];
    }
    const uint8_t pair = weight.codes[i / 2];
    out[i] = kNf4Values[i % 2 == 0 ? pair >> 4 : pair & 15] * magnitude;
  }
}

}  // namespace tunesmith::trainer
