#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tunesmith {

// CRC-32C (Castagnoli), reflected polynomial 0x82f63b78: RFC 3720, appendix B.4, has test vectors.
constexpr uint32_t Crc32c(std::string_view bytes) {
  constexpr auto kTable = [] {
    std::array<uint32_t, 256> table = {};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t x = i;
      for (int bit = 0; bit < 8; ++bit) x = (x >> 1) ^ ((x & 1u) != 0 ? 0x82f63b78u : 0u);
      table[i] = x;
    }
    return table;
  }();
  uint32_t crc = 0xffffffffu;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xffu] ^ (crc >> 8);
  return ~crc;
}

}  // namespace tunesmith
