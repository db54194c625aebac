#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "trainer/data/jsonl.h"

// What is read without skipping is read alike with it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto strict = tunesmith::trainer::ParseJsonl(text, "input", {});
  const auto lenient = tunesmith::trainer::ParseJsonl(text, "input", {.skips_bad_rows = true});
  if (strict.ok() && (!lenient.ok() || lenient->rows.size() != strict->rows.size())) std::abort();
  return 0;
}
