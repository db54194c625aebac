#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/dtype.h"

// Tensor elements in a file (little-endian, at any alignment) to and from float. Thread-safe.
namespace tunesmith {

// Fills `out` from out.size() elements of f32, bf16 or f16. UNIMPLEMENTED for another dtype, naming
// it. REQUIRES: bytes.size() == out.size() * SizeOf(dtype).
absl::Status FloatsFromBytes(DType dtype, std::string_view bytes, absl::Span<float> out);

// Inverse of FloatsFromBytes, rounding to nearest even; `bytes` is overwritten. f32, bf16 or f16,
// as above.
absl::Status BytesFromFloats(DType dtype, absl::Span<const float> values, std::string* bytes);

}  // namespace tunesmith
