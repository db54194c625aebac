#include "trainer/ops/elementwise_cpu.h"

#include <cstring>

#include "common/dtype.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

// The storage of each float type, by how its elements are loaded and stored as the type that
// conversions go through.
struct F64 {
  using Storage = double;
  static double Load(double x) { return x; }
  static double Store(double x) { return x; }
};
struct F32 {
  using Storage = float;
  static float Load(float x) { return x; }
  static float Store(double x) { return static_cast<float>(x); }
  static float Store(float x) { return x; }
};
struct BF16 {
  using Storage = uint16_t;
  static float Load(uint16_t x) { return FloatFromBf16(x); }
  static uint16_t Store(float x) { return Bf16FromFloat(x); }
};
struct F16 {
  using Storage = uint16_t;
  static float Load(uint16_t x) { return FloatFromF16(x); }
  static uint16_t Store(float x) { return F16FromFloat(x); }
};

// f64 goes to the 16-bit types through f32 rounded to odd, so that the result is rounded once.
float RoundToOdd(double x) {
  const float nearest = static_cast<float>(x);
  const double back = nearest;
  if (back == x || x != x) return nearest;
  const uint32_t bits = std::bit_cast<uint32_t>(nearest);
  const bool away = (back > x) == (x > 0);  // |nearest| > |x|
  const uint32_t truncated = away ? bits - 1 : bits;
  return std::bit_cast<float>(truncated | 1u);
}

template <typename From, typename To>
TUNESMITH_VECTOR_CLONES void Convert(const void* x, int64_t begin, int64_t end, void* y) {
  const auto* from = static_cast<const typename From::Storage*>(x);
  auto* to = static_cast<typename To::Storage*>(y);
  for (int64_t i = begin; i < end; ++i) {
    if constexpr (std::is_same_v<From, F64> && sizeof(typename To::Storage) == 2) {
      to[i] = To::Store(RoundToOdd(From::Load(from[i])));
    } else {
      to[i] = To::Store(From::Load(from[i]));
    }
  }
}

template <typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES void CapRow(int64_t count, T cap, S* x) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) x[i] = cap * Tanh(T(x[i]) / cap);
}

template <typename Function>
void VisitFloatFormat(DType dtype, Function function) {
  switch (dtype) {
    case DType::kF64:
      return function(F64{});
    case DType::kF32:
      return function(F32{});
    case DType::kBF16:
      return function(BF16{});
    case DType::kF16:
      return function(F16{});
    default:
      return;  // the checks let no other dtype through
  }
}

}  // namespace

absl::Status Add(ThreadPool& threads, const AddArgs& args) {
  return VisitStorage(OpKind::kAdd, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    threads.ForRanges(args.x.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
      RowAddScaled(args.x.as<S>() + begin, end - begin, Arithmetic<S>{1}, args.y.as<S>() + begin);
    });
    return absl::OkStatus();
  });
}

absl::Status SoftCap(ThreadPool& threads, const SoftCapArgs& args) {
  return VisitStorage(OpKind::kSoftCap, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    threads.ForRanges(args.x.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
      CapRow(end - begin, static_cast<Arithmetic<S>>(args.cap), args.x.as<S>() + begin);
    });
    return absl::OkStatus();
  });
}

absl::Status Clear(ThreadPool& threads, const ClearArgs& args) {
  const int64_t bytes = args.y.element_count() * SizeOf(args.y.dtype);
  threads.ForRanges(bytes, kElementGrain * 4, [&](int64_t begin, int64_t end) {
    std::memset(args.y.as<char>() + begin, 0, end - begin);
  });
  return absl::OkStatus();
}

absl::Status Copy(ThreadPool& threads, const CopyArgs& args) {
  const int64_t count = args.x.element_count(), size = SizeOf(args.x.dtype);
  if (args.x.dtype == args.y.dtype) {
    threads.ForRanges(count, kElementGrain, [&](int64_t begin, int64_t end) {
      std::memcpy(args.y.as<char>() + begin * size, args.x.as<char>() + begin * size,
                  (end - begin) * size);
    });
    return absl::OkStatus();
  }
  VisitFloatFormat(args.x.dtype, [&](auto from) {
    VisitFloatFormat(args.y.dtype, [&](auto to) {
      threads.ForRanges(count, kElementGrain, [&](int64_t begin, int64_t end) {
        Convert<decltype(from), decltype(to)>(args.x.data, begin, end, args.y.data);
      });
    });
  });
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer::cpu
