#include "trainer/comm/rank_sum.h"

#include <algorithm>
#include <array>

#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

// What is added up at once stays in the first-level cache.
constexpr int64_t kBlockSize = 1024;

double Widen(double x) { return x; }
float Widen(float x) { return x; }
float Widen(uint16_t bits) { return FloatFromBf16(bits); }

void Narrow(double sum, double& out) { out = sum; }
void Narrow(float sum, float& out) { out = sum; }
void Narrow(float sum, uint16_t& out) { out = Bf16FromFloat(sum); }

template <typename T>
void SumBlock(absl::Span<const void* const> sources, T* out, int64_t begin, int64_t count,
              bool accumulate) {
  std::array<decltype(Widen(T{})), kBlockSize> sums;
  const T* first = static_cast<const T*>(sources[0]) + begin;
  for (int64_t i = 0; i < count; ++i) sums[static_cast<size_t>(i)] = Widen(first[i]);
  for (const void* source : sources.subspan(1)) {
    const T* next = static_cast<const T*>(source) + begin;
    for (int64_t i = 0; i < count; ++i) sums[static_cast<size_t>(i)] += Widen(next[i]);
  }
  if (accumulate) {
    for (int64_t i = 0; i < count; ++i) sums[static_cast<size_t>(i)] += Widen(out[begin + i]);
  }
  for (int64_t i = 0; i < count; ++i) Narrow(sums[static_cast<size_t>(i)], out[begin + i]);
}

template <typename T>
void Sum(absl::Span<const void* const> sources, void* out, int64_t count, bool accumulate) {
  for (int64_t begin = 0; begin < count; begin += kBlockSize) {
    SumBlock(sources, static_cast<T*>(out), begin, std::min(kBlockSize, count - begin), accumulate);
  }
}

}  // namespace

absl::Status CheckSummed(DType dtype) {
  if (dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kBF16)
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("ranks add up f64, f32 and bf16, not ", DTypeName(dtype)));
}

void SumRanks(absl::Span<const void* const> sources, void* out, int64_t count, DType dtype,
              bool accumulate) {
  if (dtype == DType::kF64) return Sum<double>(sources, out, count, accumulate);
  if (dtype == DType::kF32) return Sum<float>(sources, out, count, accumulate);
  Sum<uint16_t>(sources, out, count, accumulate);
}

}  // namespace tunesmith::trainer
