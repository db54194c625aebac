#include <numbers>
#include <numeric>
#include <vector>

#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/rope_cuda.h"

// A block has a few whole tokens: it computes the sine and cosine of each angle once, one to a thread, and turns all heads by them. A thread's next pair of
// packs is on its way while it computes angles and turns the pair before.
namespace tunesmith::trainer::cuda {
namespace {

constexpr int kPairs = kBlockSize;  // of all tokens of a block
static_assert(kMaxRopeHeadSize / 2 <= kPairs);

// By value in the kernel's parameters: 1 KiB of the 4 KiB that every device takes.
struct Frequencies {
  float values[kMaxRopeHeadSize / 2];
};

Frequencies FrequenciesOf(const RopeArgs& args) {
  Frequencies frequencies{};
  const std::vector<double> values = RopeFrequencies(args);
  for (size_t i = 0; i < values.size(); ++i) {
    frequencies.values[i] = static_cast<float>(values[i]);
  }
  return frequencies;
}

struct Rotation {
  float cosine, sine;
};

// Of an angle of any size, which sincosf would take through local memory. The quarter turns are taken off in f64; Taylor's series of what is left, at most pi / 4,
// leave out less than 2^-29.
__device__ Rotation RotationBy(float angle) {
  const double turns = rint(static_cast<double>(angle) * (2 / std::numbers::pi));
  const auto x = static_cast<float>(static_cast<double>(angle) - turns * (std::numbers::pi / 2));
  const float x2 = x * x;
  const float sine =
      x + x * x2 * (-1.0f / 6 + x2 * (1.0f / 120 + x2 * (-1.0f / 5040 + x2 / 362880)));
  const float cosine =
      1.0f -
      x2 * (0.5f - x2 * (1.0f / 24 + x2 * (-1.0f / 720 + x2 * (1.0f / 40320 - x2 / 3628800))));
  const int quarter = static_cast<int>(static_cast<int64_t>(turns) & 3);
  const Rotation turned = quarter % 2 == 0 ? Rotation{cosine, sine} : Rotation{sine, cosine};
  return {quarter == 1 || quarter == 2 ? -turned.cosine : turned.cosine,
          quarter >= 2 ? -turned.sine : turned.sine};
}

struct RotateDims {
  int64_t token_count, width;
  int tokens_per_block, head_count, head_size, half;
  float amplitude, direction;  // 1, or -1 for the backward rotation
};

struct Rotations {
  alignas(32) float cosines[kPairs];
  alignas(32) float sines[kPairs];
};

template <typename P, typename Element>
__device__ P& PackAt(Element* elements) {
  return *reinterpret_cast<P*>(elements);
}

// Elements from i on of a head, and those from i + half on.
template <typename T, int N>
struct HeadPair {
  LoadedPack<T, N> low, high;

  // Turned by the angles from `angle` on.
  __device__ void Store(const Rotations& table, int angle, T* low_at, T* high_at) const {
    const auto cosines = PackAt<const Pack<float, N>>(table.cosines + angle);
    const auto sines = PackAt<const Pack<float, N>>(table.sines + angle);
    Pack<T, N> a = low.Unpacked(), b = high.Unpacked();
    for (int j = 0; j < N; ++j) {
      const float x = ToFloat(a.values[j]), y = ToFloat(b.values[j]);
      a.values[j] = FromFloat<T>(x * cosines.values[j] - y * sines.values[j]);
      b.values[j] = FromFloat<T>(y * cosines.values[j] + x * sines.values[j]);
    }
    PackAt<Pack<T, N>>(low_at) = a;
    PackAt<Pack<T, N>>(high_at) = b;
  }
};

template <typename T, int N>
__global__ void RotateKernel(RotateDims d, T* x, const int32_t* positions,
                             Frequencies frequencies) {
  using P = const Pack<T, N>;
  auto& table = Shared<Rotations>();
  const int64_t first_token = static_cast<int64_t>(blockIdx.x) * d.tokens_per_block;
  const int token_count =
      static_cast<int>(min(d.token_count - first_token, int64_t{d.tokens_per_block}));
  T* const rows = x + first_token * d.width;
  const int packs = d.half / N;  // of half a head
  const int count = token_count * d.head_count * packs;
  // Heads are those of all of the block's tokens.
  const auto low_at = [&](int i) {
    const int head = i / packs, token = head / d.head_count;
    return rows + token * d.width + (head - token * d.head_count) * d.head_size + i % packs * N;
  };
  const auto load = [&](int i) {
    T* const low = low_at(i);
    return HeadPair<T, N>{LoadedPack<T, N>(PackAt<P>(low)),
                          LoadedPack<T, N>(PackAt<P>(low + d.half))};
  };
  const int mine = threadIdx.x;
  HeadPair<T, N> next;
  if (mine < count) next = load(mine);
  if (mine < token_count * d.half) {
    const auto position = static_cast<float>(positions[first_token + mine / d.half]);
    const Rotation rotation = RotationBy(position * frequencies.values[mine % d.half]);
    table.cosines[mine] = rotation.cosine * d.amplitude;
    table.sines[mine] = rotation.sine * d.amplitude * d.direction;
  }
  __syncthreads();
#pragma unroll 1
  for (int i = mine; i < count; i += kBlockSize) {
    const HeadPair<T, N> pair = next;
    if (i + kBlockSize < count) next = load(i + kBlockSize);
    T* const low = low_at(i);
    pair.Store(table, i / packs / d.head_count * d.half + i % packs * N, low, low + d.half);
  }
}

absl::Status Rotate(CudaContext& cuda, const RopeArgs& args, float direction) {
  const int64_t half = args.rotary_size / 2;
  if (args.x.dims[0] * args.head_count * half == 0) return absl::OkStatus();
  const RotateDims d = {.token_count = args.x.dims[0],
                        .width = args.x.dims[1],
                        .tokens_per_block = static_cast<int>(kPairs / half),
                        .head_count = static_cast<int>(args.head_count),
                        .head_size = static_cast<int>(args.head_size),
                        .half = static_cast<int>(half),
                        .amplitude = static_cast<float>(RopeAmplitude(args)),
                        .direction = direction};
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    const auto launch = [&](auto pack) {
      return LaunchKernel(RotateKernel<T, pack.value>,
                          {BlockCount(d.token_count, d.tokens_per_block)}, cuda.impl().stream.get(),
                          d, args.x.as<T>(), args.positions.as<const int32_t>(),
                          FrequenciesOf(args));
    };
    // Heads begin where packs do, too.
    if (!CanPack<T, 16 / sizeof(T)>(std::gcd(args.head_size, d.width), {}))
      return launch(std::integral_constant<int, 1>());
    return VisitPacks<T>(half, {args.x.data}, launch);
  });
}

}  // namespace

absl::Status Rope(CudaContext& cuda, const RopeArgs& args) { return Rotate(cuda, args, 1.0f); }
absl::Status RopeBackward(CudaContext& cuda, const RopeArgs& args) {
  return Rotate(cuda, args, -1.0f);
}

}  // namespace tunesmith::trainer::cuda
