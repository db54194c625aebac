#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace tunesmith::trainer {

// What ranks say to each other by TCP beside messages: a kind, and a text of so many bytes behind it.
struct ControlFrame {
  // Beside the kinds of notices:
  static constexpr char kTable = 'T';    // rank 0's, once: how all ranks are reached
  static constexpr char kGoodbye = 'B';  // this rank leaves in peace

  char kind = 0;
  std::string text;
};

inline constexpr size_t kFrameHeadBytes = 8;
// What no rank says: whoever does is none.
inline constexpr uint32_t kMostFrameBytes = 16 << 20;

inline std::string BytesOf(char kind, std::string_view text) {
  std::string bytes(kFrameHeadBytes, '\0');
  const auto size = static_cast<uint32_t>(text.size());
  bytes[0] = kind;
  std::memcpy(bytes.data() + 4, &size, sizeof size);
  return bytes.append(text);
}

// The length of the text behind a head of kFrameHeadBytes.
inline uint32_t TextBytes(const char* head) {
  uint32_t size = 0;
  std::memcpy(&size, head + 4, sizeof size);
  return size;
}

// Takes the first frame off `bytes`, if all of it is there.
inline std::optional<ControlFrame> TakeFrame(std::string& bytes) {
  if (bytes.size() < kFrameHeadBytes) return std::nullopt;
  const size_t end = kFrameHeadBytes + TextBytes(bytes.data());
  if (bytes.size() < end) return std::nullopt;
  ControlFrame frame{bytes[0], bytes.substr(kFrameHeadBytes, end - kFrameHeadBytes)};
  bytes.erase(0, end);
  return frame;
}

}  // namespace tunesmith::trainer
