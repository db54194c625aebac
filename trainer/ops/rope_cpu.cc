#include "trainer/ops/rope_cpu.h"

#include <array>

#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

constexpr int64_t kMaxPairs = kMaxRopeHeadSize / 2;

template <typename T>
struct Rotation {
  std::array<T, kMaxPairs> frequency, cosine, sine;
};

// One head: the pairs (x[i], x[i + half]) turn by the angles.
template <typename S, typename T>
TUNESMITH_VECTOR_CLONES void RotateHead(const T* cosine, const T* sine, int64_t half, S* x) {
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    const T first = T(x[i]), second = T(x[i + half]);
    x[i] = first * cosine[i] - second * sine[i];
    x[i + half] = second * cosine[i] + first * sine[i];
  }
}

// `direction` is 1, or -1 to turn back.
template <typename S, typename T>
void RotateRows(const RopeArgs& args, int64_t begin, int64_t end, T direction,
                Rotation<T>& rotation) {
  const int64_t half = args.rotary_size / 2, width = args.x.dims[1];
  const T amplitude = static_cast<T>(RopeAmplitude(args));
  std::array<T, kMaxPairs> angle;
  for (int64_t i = begin; i < end; ++i) {
    const T position = direction * static_cast<T>(args.positions.as<int32_t>()[i]);
    for (int64_t j = 0; j < half; ++j) angle[j] = position * rotation.frequency[j];
    RowCosSin(angle.data(), half, rotation.cosine.data(), rotation.sine.data());
    if (amplitude != T{1}) {
      RowScale(rotation.cosine.data(), half, amplitude);
      RowScale(rotation.sine.data(), half, amplitude);
    }
    for (int64_t h = 0; h < args.head_count; ++h) {
      RotateHead(rotation.cosine.data(), rotation.sine.data(), half,
                 args.x.as<S>() + i * width + h * args.head_size);
    }
  }
}

absl::Status Rotate(OpKind op, ThreadPool& threads, const RopeArgs& args, int direction) {
  const std::vector<double> frequencies = RopeFrequencies(args);
  return VisitStorage(op, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    using T = Arithmetic<S>;
    threads.ForRanges(args.x.dims[0], RowGrain(args.x.dims[1]), [&](int64_t begin, int64_t end) {
      Rotation<T> rotation;
      for (size_t j = 0; j < frequencies.size(); ++j) {
        rotation.frequency[j] = static_cast<T>(frequencies[j]);
      }
      RotateRows<S>(args, begin, end, static_cast<T>(direction), rotation);
    });
    return absl::OkStatus();
  });
}

}  // namespace

absl::Status Rope(ThreadPool& threads, const RopeArgs& args) {
  return Rotate(OpKind::kRope, threads, args, 1);
}

absl::Status RopeBackward(ThreadPool& threads, const RopeArgs& args) {
  return Rotate(OpKind::kRopeBackward, threads, args, -1);
}

}  // namespace tunesmith::trainer::cpu
