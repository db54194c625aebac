#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/safetensors.h"

// A header that passes must describe bytes of the file only.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  const auto header = tunesmith::ParseSafetensorsHeader(file, "input");
  if (!header.ok()) return 0;
  for (const tunesmith::SafetensorsTensor& tensor : header->tensors) {
    const auto end = static_cast<uint64_t>(tensor.begin_bytes + tensor.byte_count);
    if (tensor.begin_bytes < 0 || tensor.byte_count < 0 || end > size) std::abort();
  }
  return 0;
}
