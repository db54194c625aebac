#include <cstdint>
#include <string_view>
#include <vector>

#include "common/gguf.h"
#include "trainer/model_io/tokenizer.h"
#include "trainer/model_io/tokenizer_gguf.h"

// Every tensor of a header that passes can be dequantized, and its tokenizer, if there is one, used.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  const auto header = tunesmith::ParseGgufHeader(file, "input");
  if (!header.ok()) return 0;
  for (const tunesmith::GgufTensor& tensor : header->tensors) {
    std::vector<float> values(static_cast<size_t>(tensor.ElementCount()));
    const std::string_view bytes = file.substr(static_cast<size_t>(tensor.begin_bytes),
                                               static_cast<size_t>(tensor.byte_count));
    tunesmith::Dequantize(tensor.type, bytes, absl::MakeSpan(values));
  }
  auto spec = tunesmith::trainer::TokenizerSpecFromGguf(*header);
  if (!spec.ok()) return 0;
  const auto tokenizer = tunesmith::trainer::Tokenizer::Create(*std::move(spec));
  if (tokenizer.ok()) tokenizer->Encode("ab <s> 12\n", true).IgnoreError();
  return 0;
}
