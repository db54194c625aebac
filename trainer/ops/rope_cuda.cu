#include <numbers>
#include <vector>

#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/rope_cuda.h"

// A block has a few whole tokens: it computes the sine and cosine of each angle once, one to a thread, and turns all heads by them.
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
  int64_t token_count;
  int tokens_per_block, head_count, head_size, half;
  float amplitude, direction;  // 1, or -1 for the backward rotation
};

struct Rotations {
  alignas(32) float cosines[kPairs];
  alignas(32) float sines[kPairs];
};

// One packed pair: elements i of a head and i + half.
template <typename T, int N>
__device__ void RotatePair(Pack<T, N>& low, Pack<T, N>& high, Pack<float, N> cosines,
                           Pack<float, N> sines) {
  for (int j = 0; j < N; ++j) {
    const float a = ToFloat(low.values[j]);
    const float b = ToFloat(high.values[j]);
    low.values[j] = FromFloat<T>(a * cosines.values[j] - b * sines.values[j]);
    high.values[j] = FromFloat<T>(b * cosines.values[j] + a * sines.values[j]);
  }
}

template <typename P, typename Element>
__device__ P& PackAt(Element* elements) {
  return *reinterpret_cast<P*>(elements);
}

template <typename T, int N>
__global__ void RotateKernel(RotateDims d, T* x, const int32_t* positions,
                             Frequencies frequencies) {
  using P = Pack<T, N>;
  auto& table = Shared<Rotations>();
  const int64_t first_token = static_cast<int64_t>(blockIdx.x) * d.tokens_per_block;
  const int token_count =
      static_cast<int>(min(d.token_count - first_token, int64_t{d.tokens_per_block}));
  const int mine = threadIdx.x;
  if (mine < token_count * d.half) {
    const auto position = static_cast<float>(positions[first_token + mine / d.half]);
    const Rotation rotation = RotationBy(position * frequencies.values[mine % d.half]);
    table.cosines[mine] = rotation.cosine * d.amplitude;
    table.sines[mine] = rotation.sine * d.amplitude * d.direction;
  }
  __syncthreads();
  T* const rows = x + first_token * d.head_count * d.head_size;
  const int packs = d.half / N;  // of half a head
  const int count = token_count * d.head_count * packs;
  for (int i = mine; i < count; i += kBlockSize) {
    const int head = i / packs;  // of all heads of the block's tokens
    const int pair = i % packs * N;
    T* const low = rows + head * d.head_size + pair;
    T* const high = low + d.half;
    P a = PackAt<P>(low), b = PackAt<P>(high);
    const int angle = head / d.head_count * d.half + pair;
    RotatePair(a, b, PackAt<const Pack<float, N>>(table.cosines + angle),
               PackAt<const Pack<float, N>>(table.sines + angle));
    PackAt<P>(low) = a;
    PackAt<P>(high) = b;
  }
}

absl::Status Rotate(CudaContext& cuda, const RopeArgs& args, float direction) {
  const int64_t half = args.rotary_size / 2;
  if (args.x.dims[0] * args.head_count * half == 0) return absl::OkStatus();
  const RotateDims d = {.token_count = args.x.dims[0],
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
    if (!CanPack<T, 16 / sizeof(T)>(args.head_size, {}))
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
