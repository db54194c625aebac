#include "common/utf8.h"

#include <algorithm>

namespace tunesmith {
namespace {

struct Sequence {
  int64_t wanted_bytes = 0;  // 0: no character begins with this byte
  int64_t valid_bytes = 0;   // how many of them are there and fit
};

// The first continuation byte of some lead bytes has a smaller range.
uint8_t LowestSecond(uint8_t lead) { return lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80; }
uint8_t HighestSecond(uint8_t lead) { return lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf; }

int64_t WantedBytes(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? 4 : 0;
}

Sequence Inspect(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  Sequence sequence = {WantedBytes(lead), 1};
  const int64_t available = std::min(sequence.wanted_bytes, static_cast<int64_t>(text.size()));
  while (sequence.valid_bytes < available) {
    const auto byte = static_cast<uint8_t>(text[static_cast<size_t>(sequence.valid_bytes)]);
    const bool second = sequence.valid_bytes == 1;
    if (byte < (second ? LowestSecond(lead) : 0x80) || byte > (second ? HighestSecond(lead) : 0xbf))
      break;
    ++sequence.valid_bytes;
  }
  return sequence;
}

}  // namespace

int64_t Utf8CharacterBytes(std::string_view text) {
  if (text.empty()) return 0;
  const Sequence sequence = Inspect(text);
  return sequence.valid_bytes == sequence.wanted_bytes ? sequence.wanted_bytes : 0;
}

int64_t FirstInvalidUtf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const int64_t bytes = Utf8CharacterBytes(text.substr(at));
    if (bytes == 0) return static_cast<int64_t>(at);
    at += static_cast<size_t>(bytes);
  }
  return -1;
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const Sequence sequence = Inspect(text);
    const auto bytes = static_cast<size_t>(sequence.valid_bytes);
    result +=
        sequence.valid_bytes == sequence.wanted_bytes ? text.substr(0, bytes) : "\xef\xbf\xbd";
    text.remove_prefix(bytes);
  }
  return result;
}

}  // namespace tunesmith
