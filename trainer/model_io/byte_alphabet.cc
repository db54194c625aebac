#include "trainer/model_io/byte_alphabet.h"

#include <array>

#include "common/utf8.h"

namespace tunesmith::trainer {
namespace {

constexpr int kHighestCodePoint = 256 + 67;  // 68 bytes are not printable

struct Alphabet {
  std::array<std::string, 256> characters;
  std::array<int, kHighestCodePoint + 1> bytes;  // by code point; -1: not of the alphabet
};

bool IsPrintable(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

const Alphabet& TheAlphabet() {
  static const Alphabet* const alphabet = [] {
    auto* result = new Alphabet;
    result->bytes.fill(-1);
    int next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const int code_point = IsPrintable(byte) ? byte : next++;
      result->bytes[static_cast<size_t>(code_point)] = byte;
      std::string& text = result->characters[static_cast<size_t>(byte)];
      if (code_point >= 0x80) text.push_back(static_cast<char>(0xc0 | (code_point >> 6)));
      text.push_back(
          static_cast<char>(code_point < 0x80 ? code_point : 0x80 | (code_point & 0x3f)));
    }
    return result;
  }();
  return *alphabet;
}

}  // namespace

std::string_view CharacterOfByte(uint8_t byte) { return TheAlphabet().characters[byte]; }

std::optional<std::string> BytesOfToken(std::string_view token) {
  std::string bytes;
  while (!token.empty()) {
    const int64_t length = Utf8CharacterBytes(token);
    if (length != 1 && length != 2) return std::nullopt;
    const int lead = static_cast<uint8_t>(token[0]);
    const int code_point =
        length == 1 ? lead : ((lead & 0x1f) << 6) | (static_cast<uint8_t>(token[1]) & 0x3f);
    if (code_point > kHighestCodePoint) return std::nullopt;
    const int byte = TheAlphabet().bytes[static_cast<size_t>(code_point)];
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
    token.remove_prefix(static_cast<size_t>(length));
  }
  return bytes;
}

}  // namespace tunesmith::trainer
