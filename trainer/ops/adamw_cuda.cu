#include <algorithm>
#include <array>
#include <cfloat>

#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/kernel.cuh"
#include "trainer/ops/adamw_cuda.h"
#include "trainer/ops/dynamic_map.h"
#include "trainer/ops/update_cuda.cuh"

namespace tunesmith::trainer::cuda {
namespace {

// P: the parameter, G: the gradient, M: the moments.
template <typename P, typename G, typename M, int N>
struct KernelArgs {
  int64_t pack_count;
  const Pack<G, N>* gradient;
  const float* clip_factor;
  const float* scalars;
  Pack<P, N>* parameter;
  Pack<M, N>* moment1;
  Pack<M, N>* moment2;
  Pack<float, N>* master;  // null: the parameter is its own master
  UpdateKey key;
  bool decays;
};

struct Element {
  float parameter, moment1, moment2;
};

// The step's scalars as the elements use them: read, and divided by, once for each thread.
struct Rule {
  float clip, beta1, beta2, kept, step, root_scale, epsilon;

  __device__ Rule(const float* clip_factor, const float* s, bool decays)
      : clip(*clip_factor),
        beta1(s[planner::kBeta1]),
        beta2(s[planner::kBeta2]),
        kept(decays ? 1.0f - s[planner::kLearningRate] * s[planner::kWeightDecay] : 1.0f),
        step(s[planner::kLearningRate] / s[planner::kBiasCorrection1]),
        root_scale(1.0f / sqrtf(s[planner::kBiasCorrection2])),
        epsilon(s[planner::kEpsilon]) {}

  __device__ Element Update(Element e, float gradient) const {
    const float g = gradient * clip;
    e.moment1 = beta1 * e.moment1 + (1.0f - beta1) * g;
    e.moment2 = beta2 * e.moment2 + (1.0f - beta2) * g * g;
    e.parameter *= kept;
    // Approximate root and quotient, good to some units in the last place: with the exact ones, and random bits beside them, the kernel waits for arithmetic.
    e.parameter -= __fdividef(step * e.moment1, SquareRoot(e.moment2) * root_scale + epsilon);
    return e;
  }
};

template <typename P, typename G, typename M, int N>
__global__ void AdamWKernel(KernelArgs<P, G, M, N> k) {
  const int64_t i = GlobalThread();
  if (i >= k.pack_count) return;
  const Rule rule(k.clip_factor, k.scalars, k.decays);
  const ElementBits bits(k.key);
  const bool has_master = k.master != nullptr;
  const Pack<G, N> gradient = k.gradient[i];
  Pack<M, N> moment1 = k.moment1[i];
  Pack<M, N> moment2 = k.moment2[i];
  Pack<float, N> values = ParametersAt(k.master, k.parameter, i);
  Pack<P, N> parameter;
  for (int j = 0; j < N; ++j) {
    const Element e =
        rule.Update({values.values[j], ToFloat(moment1.values[j]), ToFloat(moment2.values[j])},
                    ToFloat(gradient.values[j]));
    const uint64_t random = bits.Of(i * N + j);
    values.values[j] = e.parameter;
    parameter.values[j] = StoredParameter<P>(e.parameter, has_master, random);
    moment1.values[j] = RoundStochastic<M>(e.moment1, random >> kMoment1Shift);
    moment2.values[j] = RoundStochastic<M>(e.moment2, random >> kMoment2Shift);
  }
  k.parameter[i] = parameter;
  k.moment1[i] = moment1;
  k.moment2[i] = moment2;
  if (has_master) k.master[i] = values;
}

template <typename P, typename G, typename M, int N>
absl::Status Launch(const AdamWArgs& args, cudaStream_t stream) {
  const KernelArgs<P, G, M, N> k = {
      .pack_count = args.parameter.element_count() / N,
      .gradient = args.gradient.as<const Pack<G, N>>(),
      .clip_factor = args.clip_factor.as<const float>(),
      .scalars = args.step_scalars.as<const float>(),
      .parameter = args.parameter.as<Pack<P, N>>(),
      .moment1 = args.moment1.as<Pack<M, N>>(),
      .moment2 = args.moment2.as<Pack<M, N>>(),
      .master = args.master.as<Pack<float, N>>(),
      .key = KeyOf(args),
      .decays = args.decays,
  };
  return LaunchKernel(AdamWKernel<P, G, M, N>, {BlockCount(k.pack_count)}, stream, k);
}

// 16 bytes of the widest of the tensors but the master, which is f32 beside narrower ones.
template <typename P, typename G, typename M>
constexpr int kPack = 16 / std::max({sizeof(P), sizeof(G), sizeof(M)});

template <typename P, typename G, typename M, int kPack>
bool CanPackAll(const AdamWArgs& args) {
  const int64_t count = args.parameter.element_count();
  return CanPack<P, kPack>(count, {args.parameter.data}) &&
         CanPack<G, kPack>(count, {args.gradient.data}) &&
         CanPack<M, kPack>(count, {args.moment1.data, args.moment2.data}) &&
         CanPack<float, kPack>(count, {args.master.data});
}

template <typename P, typename G, typename M>
absl::Status LaunchPacked(const AdamWArgs& args, cudaStream_t stream) {
  constexpr int kCount = kPack<P, G, M>;
  if (CanPackAll<P, G, M, kCount>(args)) return Launch<P, G, M, kCount>(args, stream);
  return Launch<P, G, M, 1>(args, stream);
}

// ---- Moments in 8 bits --------------------------------------------------------------------------

// The nearest code is looked for down a tree of the midpoints, kept level by level: lanes at one level read neighbouring words, which lie in different banks
// of shared memory. Node k has the children 2 k and 2 k + 1; each path makes the comparisons of NearestCode.
struct CodeTree {
  std::array<float, 256> values;  // by code
  std::array<float, 256> nodes;   // from 1 on

  __device__ float ValueOf(uint8_t code) const { return values.data()[code]; }
  __device__ uint8_t CodeOf(float x) const {
    int node = 1;
    for (int level = 0; level < 8; ++level) node = 2 * node + (nodes.data()[node] < x ? 1 : 0);
    return static_cast<uint8_t>(node - 256);
  }
  // As NearestPositiveCode.
  __device__ uint8_t PositiveCodeOf(float x) const {
    const uint8_t code = CodeOf(x);
    return code == 0 && x > 0.0f ? uint8_t{1} : code;
  }
};

constexpr CodeTree MakeCodeTree(bool is_signed) {
  const DynamicMap map = MakeDynamicMap(is_signed);
  CodeTree tree = {.values = map.values, .nodes = {}};
  for (int level = 0; level < 8; ++level) {
    const int step = 128 >> level;
    for (int i = 0; i < 1 << level; ++i)
      tree.nodes[(1 << level) + i] = map.midpoints[2 * step * i + step - 1];
  }
  return tree;
}

// By moment: the first has signs.
struct CodeTrees {
  CodeTree first, second;
};
__device__ const CodeTrees code_trees = {MakeCodeTree(true), MakeCodeTree(false)};

// In shared memory: constant memory would give the lanes their different words one after the other.
__device__ const CodeTrees& LoadTrees() {
  auto& trees = Shared<CodeTrees>();
  constexpr int kWords = sizeof(CodeTrees) / sizeof(float);
  for (int i = threadIdx.x; i < kWords; i += blockDim.x)
    reinterpret_cast<float*>(&trees)[i] = reinterpret_cast<const float*>(&code_trees)[i];
  __syncthreads();
  return trees;
}

template <typename P, typename G, int N>
struct CodedArgs {
  int64_t pack_count, block_count;
  const Pack<G, N>* gradient;
  const float* clip_factor;
  const float* scalars;
  Pack<P, N>* parameter;
  Pack<uint8_t, N>* moment1;
  Pack<uint8_t, N>* moment2;
  float* moment1_scale;
  float* moment2_scale;
  Pack<float, N>* master;  // null: the parameter is its own master
  UpdateKey key;
  bool decays;
};

constexpr int kCodedPack = 4;            // 16 bytes of f32
constexpr int64_t kMaxCodedGrid = 1056;  // thread blocks: each loads the trees once

// What moments of a scale are multiplied by for their codes: quotients would be a tenth of the kernel's instructions, for which it waits. Where the inverse would be infinite
// the moments are nothing beside epsilon.
__device__ float CodeFactor(float scale) { return scale >= FLT_MIN ? 1.0f / scale : 1.0f; }

// One lane's packs of the elements that share a scale, with moments as they are stored and then as the update made them.
template <typename P, typename G, int N>
class CodedPacks {
 public:
  static constexpr int kPacks = planner::kStateBlockSize / kWarpSize / N;

  __device__ CodedPacks(const CodedArgs<P, G, N>& k, int64_t block)
      : k_(k),
        first_(block * (planner::kStateBlockSize / N) + threadIdx.x % kWarpSize),
        scale1_(k.moment1_scale[block]),
        scale2_(k.moment2_scale[block]) {}

  __device__ void Update(const Rule& rule, const CodeTrees& trees) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (!Exists(p)) continue;
      const Pack<G, N> gradient = k_.gradient[Index(p)];
      const Pack<uint8_t, N> code1 = k_.moment1[Index(p)], code2 = k_.moment2[Index(p)];
      const Pack<float, N> parameter = ParametersAt(k_.master, k_.parameter, Index(p));
      for (int j = 0; j < N; ++j) {
        const float moment1 = trees.first.ValueOf(code1.values[j]) * scale1_;
        const float moment2 = trees.second.ValueOf(code2.values[j]) * scale2_;
        elements_[p][j] =
            rule.Update({parameter.values[j], moment1, moment2}, ToFloat(gradient.values[j]));
      }
    }
  }

  // The largest magnitude of each moment becomes its scale.
  __device__ void StoreScales(int64_t block) {
    scale1_ = scale2_ = 0.0f;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (!Exists(p)) continue;
      for (const Element& e : elements_[p]) {
        scale1_ = fmaxf(scale1_, fabsf(e.moment1));
        scale2_ = fmaxf(scale2_, fabsf(e.moment2));
      }
    }
    scale1_ = WarpReduce(scale1_, MaxOf());
    scale2_ = WarpReduce(scale2_, MaxOf());
    if (threadIdx.x % kWarpSize != 0) return;
    k_.moment1_scale[block] = scale1_;
    k_.moment2_scale[block] = scale2_;
  }

  __device__ void StoreCodes(const CodeTrees& trees) const {
    const float factor1 = CodeFactor(scale1_), factor2 = CodeFactor(scale2_);
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (!Exists(p)) continue;
      Pack<uint8_t, N> code1, code2;
      for (int j = 0; j < N; ++j) {
        code1.values[j] = trees.first.CodeOf(elements_[p][j].moment1 * factor1);
        code2.values[j] = trees.second.PositiveCodeOf(elements_[p][j].moment2 * factor2);
      }
      k_.moment1[Index(p)] = code1;
      k_.moment2[Index(p)] = code2;
    }
  }

  __device__ void StoreParameters(const ElementBits& bits) const {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (!Exists(p)) continue;
      Pack<P, N> parameter;
      Pack<float, N> master;
      for (int j = 0; j < N; ++j) {
        const float value = master.values[j] = elements_[p][j].parameter;
        const uint64_t random = bits.Of(Index(p) * N + j);
        parameter.values[j] = StoredParameter<P>(value, k_.master != nullptr, random);
      }
      k_.parameter[Index(p)] = parameter;
      if (k_.master != nullptr) k_.master[Index(p)] = master;
    }
  }

 private:
  __device__ int64_t Index(int p) const { return first_ + p * kWarpSize; }
  __device__ bool Exists(int p) const { return Index(p) < k_.pack_count; }

  const CodedArgs<P, G, N>& k_;
  int64_t first_;
  float scale1_, scale2_;
  Element elements_[kPacks][N];
};

// A warp for the elements that share a scale. All of its lanes have read the old scales when the sums over the warp are known that the new ones are.
template <typename P, typename G, int N>
__global__ void CodedAdamWKernel(CodedArgs<P, G, N> k) {
  const CodeTrees& trees = LoadTrees();
  const Rule rule(k.clip_factor, k.scalars, k.decays);
  const ElementBits bits(k.key);
  const int64_t warp_count = static_cast<int64_t>(gridDim.x) * blockDim.x / kWarpSize;
  for (int64_t block = GlobalThread() / kWarpSize; block < k.block_count; block += warp_count) {
    CodedPacks<P, G, N> packs(k, block);
    packs.Update(rule, trees);
    packs.StoreScales(block);
    packs.StoreCodes(trees);
    packs.StoreParameters(bits);
  }
}

template <typename P, typename G, int N>
absl::Status LaunchCoded(const AdamWArgs& args, cudaStream_t stream) {
  const int64_t count = args.parameter.element_count();
  const CodedArgs<P, G, N> k = {
      .pack_count = count / N,
      .block_count = BlockCount(count, planner::kStateBlockSize),
      .gradient = args.gradient.as<const Pack<G, N>>(),
      .clip_factor = args.clip_factor.as<const float>(),
      .scalars = args.step_scalars.as<const float>(),
      .parameter = args.parameter.as<Pack<P, N>>(),
      .moment1 = args.moment1.as<Pack<uint8_t, N>>(),
      .moment2 = args.moment2.as<Pack<uint8_t, N>>(),
      .moment1_scale = args.moment1_scale.as<float>(),
      .moment2_scale = args.moment2_scale.as<float>(),
      .master = args.master.as<Pack<float, N>>(),
      .key = KeyOf(args),
      .decays = args.decays,
  };
  const int64_t grid = std::min<int64_t>(kMaxCodedGrid, BlockCount(k.block_count * kWarpSize));
  return LaunchKernel(CodedAdamWKernel<P, G, N>, {static_cast<unsigned int>(grid)}, stream, k);
}

template <typename P, typename G>
absl::Status LaunchCodedPacked(const AdamWArgs& args, cudaStream_t stream) {
  if (CanPackAll<P, G, uint8_t, kCodedPack>(args))
    return LaunchCoded<P, G, kCodedPack>(args, stream);
  return LaunchCoded<P, G, 1>(args, stream);
}

}  // namespace

absl::Status AdamW(CudaContext& cuda, const AdamWArgs& args) {
  if (args.parameter.element_count() == 0) return absl::OkStatus();
  for (const Tensor* tensor : {&args.clip_factor, &args.step_scalars}) {
    if (tensor->dtype != DType::kF32) return UnsupportedDType(tensor->dtype);
  }
  const cudaStream_t stream = cuda.impl().stream.get();
  return VisitFloat(args.parameter.dtype, [&](auto parameter) {
    return VisitFloat(args.gradient.dtype, [&](auto gradient) {
      if (args.moment1.dtype == DType::kU8)
        return LaunchCodedPacked<decltype(parameter), decltype(gradient)>(args, stream);
      return VisitFloat(args.moment1.dtype, [&](auto moment) {
        return LaunchPacked<decltype(parameter), decltype(gradient), decltype(moment)>(args,
                                                                                       stream);
      });
    });
  });
}

}  // namespace tunesmith::trainer::cuda
