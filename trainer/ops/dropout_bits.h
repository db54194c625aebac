#pragma once

#include <cstdint>

#include "common/random.h"

// Which elements of a token dropout keeps; the same on every device.
namespace tunesmith::trainer {

// Of row `row` of the optimizer step, token `token`.
constexpr uint64_t DropoutTokenKey(uint64_t step_key, uint64_t module_key, int64_t layer,
                                   int64_t row, int64_t token) {
  const uint64_t layer_key =
      RandomKey(RandomKey(step_key, module_key), static_cast<uint64_t>(layer));
  return RandomKey(RandomKey(layer_key, static_cast<uint64_t>(row)), static_cast<uint64_t>(token));
}

// Elements 2 i and 2 i + 1 share 64 bits. Dropped where its 32 are below the threshold.
constexpr uint64_t DropoutPairBits(uint64_t token_key, int64_t pair) {
  return RandomBits(token_key, static_cast<uint64_t>(pair));
}
constexpr uint32_t DropoutHalf(uint64_t pair_bits, int64_t element) {
  return static_cast<uint32_t>(element % 2 == 0 ? pair_bits : pair_bits >> 32);
}
constexpr uint32_t DropoutBits(uint64_t token_key, int64_t element) {
  return DropoutHalf(DropoutPairBits(token_key, element / 2), element);
}
constexpr uint32_t DropoutThreshold(double share) {
  return static_cast<uint32_t>(share * 4294967296.0);
}

}  // namespace tunesmith::trainer
