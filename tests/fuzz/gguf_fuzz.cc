#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/gguf.h"
#include "planner/model/gguf_model_spec.h"
#include "tests/fuzz/require.h"
#include "trainer/model_io/tokenizer.h"
#include "trainer/model_io/tokenizer_gguf.h"

namespace {

// The model of a file is one that passed validation. Files are opened by name, so the input becomes one, in memory.
void CheckModel(std::string_view bytes) {
  const int fd = memfd_create("gguf", 0);
  tunesmith::Require(fd >= 0 &&
                     write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  const auto file = tunesmith::GgufFile::Open("/proc/self/fd/" + std::to_string(fd));
  close(fd);
  if (!file.ok()) return;
  const auto spec = tunesmith::planner::ModelSpecFromGguf(*file, "input");
  if (spec.ok()) tunesmith::Require(tunesmith::planner::ValidateModelSpec(*spec).ok());
}

}  // namespace

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
  CheckModel(file);
  auto spec = tunesmith::trainer::TokenizerSpecFromGguf(*header);
  if (!spec.ok()) return 0;
  const auto tokenizer = tunesmith::trainer::Tokenizer::Create(*std::move(spec));
  if (tokenizer.ok()) tokenizer->Encode("ab <s> 12\n", true).IgnoreError();
  return 0;
}
