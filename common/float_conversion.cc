#include "common/float_conversion.h"

#include <cstring>

#include "common/str_cat.h"

namespace tunesmith {
namespace {

template <float (*kConvert)(uint16_t)>
void Widen(const char* bytes, absl::Span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, bytes + 2 * i, 2);
    out[i] = kConvert(bits);
  }
}

template <uint16_t (*kConvert)(float)>
void Narrow(absl::Span<const float> values, char* bytes) {
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = kConvert(values[i]);
    std::memcpy(bytes + 2 * i, &bits, 2);
  }
}

absl::Status NotAFloat(DType dtype) {
  return absl::UnimplementedError(
      StrCat("elements of dtype ", DTypeName(dtype),
             " are not read as weights; convert them to f32, bf16 or f16"));
}

}  // namespace

absl::Status FloatsFromBytes(DType dtype, std::string_view bytes, absl::Span<float> out) {
  switch (dtype) {
    case DType::kF32:
      if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
      return absl::OkStatus();
    case DType::kBF16:
      Widen<FloatFromBf16>(bytes.data(), out);
      return absl::OkStatus();
    case DType::kF16:
      Widen<FloatFromF16>(bytes.data(), out);
      return absl::OkStatus();
    default:
      return NotAFloat(dtype);
  }
}

absl::Status BytesFromFloats(DType dtype, absl::Span<const float> values, std::string* bytes) {
  bytes->resize(values.size() * static_cast<size_t>(SizeOf(dtype)));
  switch (dtype) {
    case DType::kF32:
      if (!values.empty()) std::memcpy(bytes->data(), values.data(), bytes->size());
      return absl::OkStatus();
    case DType::kBF16:
      Narrow<Bf16FromFloat>(values, bytes->data());
      return absl::OkStatus();
    case DType::kF16:
      Narrow<F16FromFloat>(values, bytes->data());
      return absl::OkStatus();
    default:
      return NotAFloat(dtype);
  }
}

}  // namespace tunesmith
