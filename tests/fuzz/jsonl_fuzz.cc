#include <cstdint>
#include <string_view>

#include "common/text.h"
#include "tests/fuzz/require.h"
#include "trainer/data/data_row.h"

// A line whose format can be told is read by it or refused, and what is read is a conversation or has something to learn.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tunesmith::trainer;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const std::string_view line : tunesmith::StrSplit(text, "\n")) {
    const auto format = DetectFormat(line, "input");
    if (!format.ok()) continue;
    for (const bool as_conversation : {false, true}) {
      const auto row = ParseRow(line, *format, as_conversation, "input");
      if (row.ok()) tunesmith::Require(!row->chat.empty() || !row->completion.empty());
    }
  }
  return 0;
}
