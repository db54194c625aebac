// Any text: an error, or a mix that, if valid for some layer count, prints to text that parses to the same mix.
#include <cstdint>
#include <string_view>

#include "planner/model/mix.h"
#include "tests/fuzz/require.h"

namespace tunesmith::planner {
namespace {

// The layers of all rungs, or -1 where that is no count.
int64_t LayerCount(const Mix& mix) {
  int64_t sum = 0;
  for (const int64_t layers : mix.recompute) {
    if (layers < 0 || __builtin_add_overflow(sum, layers, &sum)) return -1;
  }
  return sum;
}

void Check(std::string_view text) {
  const absl::StatusOr<Mix> mix = ParseMix(text);
  if (!mix.ok() || !ValidateMix(*mix, LayerCount(*mix)).ok()) return;
  const absl::StatusOr<Mix> again = ParseMix(FormatMix(*mix));
  Require(again.ok() && *again == *mix);
}

}  // namespace
}  // namespace tunesmith::planner

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tunesmith::planner::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
