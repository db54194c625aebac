#include <cstdint>
#include <string_view>

#include "trainer/model_io/tokenizer.h"
#include "trainer/model_io/tokenizer_json.h"

// A tokenizer that can be made encodes, decodes, and is read again from what is written of it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto spec = tunesmith::trainer::TokenizerSpecFromJson(text, "input");
  if (!spec.ok()) return 0;
  const auto tokenizer = tunesmith::trainer::Tokenizer::Create(*std::move(spec));
  if (!tokenizer.ok()) return 0;
  const auto ids = tokenizer->Encode("ab <s> 12\u00e9\u0301\u0eba\n x yab\u2581", true);
  if (ids.ok()) tokenizer->Decode(*ids);
  const std::string written = tunesmith::trainer::TokenizerJsonFromSpec(tokenizer->spec());
  tunesmith::trainer::TokenizerSpecFromJson(written, "written").IgnoreError();
  return 0;
}
