#include "profiler/short_runs.h"

#include <algorithm>
#include <cstddef>

#include "common/random.h"
#include "planner/answer/candidates.h"
#include "planner/model/model_tensors.h"
#include "planner/program/build_program.h"
#include "planner/program/memory_plan.h"

namespace tunesmith::profiler {
namespace {

using planner::Method;
using planner::ModelSpec;
using planner::Rung;

// The 90th percentile of fewer is the largest of them, or none.
constexpr size_t kCount = 20;
constexpr uint64_t kSeed = 7;

// What fits the memory of any GPU that is trained on; processors have bounds that keep steps smaller than that.
constexpr int64_t kMostGpuBytes = int64_t{16} << 30;

// What fits the time: multiplications and additions of a step, and states of full fine-tuning.
struct Bounds {
  double flops;
  int64_t parameter_count;
};
Bounds BoundsOf(planner::BackendKind kind) {
  if (kind == planner::BackendKind::kCpu) return {.flops = 4e10, .parameter_count = 60'000'000};
  return {.flops = 6e13, .parameter_count = 1'300'000'000};
}

class Draws {
 public:
  template <typename T, size_t N>
  T Of(const T (&values)[N]) {
    return values[static_cast<size_t>(RandomBelow(kSeed, next_++, static_cast<int64_t>(N)))];
  }
  template <typename T, size_t N, size_t M>
  T OfEither(bool first, const T (&values)[N], const T (&others)[M]) {
    return first ? Of(values) : Of(others);
  }
  bool OneIn(int64_t count) { return RandomBelow(kSeed, next_++, count) == 0; }

 private:
  uint64_t next_ = 0;
};

int64_t DrawHiddenSize(Draws& draws, bool cpu) {
  constexpr int64_t kOfCpus[] = {384, 512, 640, 896, 1024, 1280, 1536, 2048},
                    kOfGpus[] = {1024, 1536, 2048, 3072, 4096, 4096};
  return draws.OfEither(cpu, kOfCpus, kOfGpus);
}

// The widths alone; layers follow from the time that they take.
ModelSpec DrawModel(Draws& draws, bool cpu) {
  constexpr int64_t kHeadSizes[] = {32, 64, 64, 128}, kHeadSizesOfGpus[] = {64, 128, 128},
                    kGroups[] = {1, 1, 2, 4}, kVocabularies[] = {8192, 32000, 49152},
                    kVocabulariesOfGpus[] = {32000, 49152, 128256, 151936};
  constexpr double kRatios[] = {2.67, 3, 4, 5.4};
  ModelSpec model;
  model.name = "short-run";
  model.family = "llama";
  model.hidden_size = DrawHiddenSize(draws, cpu);
  model.head_size = draws.OfEither(cpu, kHeadSizes, kHeadSizesOfGpus);
  model.head_count = model.hidden_size / model.head_size;
  model.kv_head_count = model.head_count / draws.Of(kGroups);
  if (model.kv_head_count == 0 || model.head_count % model.kv_head_count != 0)
    model.kv_head_count = model.head_count;
  model.intermediate_size = std::max<int64_t>(
      64,
      static_cast<int64_t>(draws.Of(kRatios) * static_cast<double>(model.hidden_size)) / 64 * 64);
  model.vocab_size = draws.OfEither(cpu, kVocabularies, kVocabulariesOfGpus);
  model.context_limit = 1 << 17;
  model.tied_head = draws.OneIn(2);
  if (draws.OneIn(4)) {
    model.family = "gpt_neox";
    model.norm = planner::NormKind::kLayer;
    model.norm_bias = model.plain_mlp = true;
    model.qkv_bias = model.output_bias = model.mlp_bias = true;
    model.activation = planner::Activation::kGelu;
  } else if (draws.OneIn(3)) {
    model.family = "qwen3";
    model.qk_norm = true;
  }
  return model;
}

planner::Mix DrawMix(Draws& draws, planner::Precision precision) {
  constexpr Method kMethods[] = {Method::kFull, Method::kLora, Method::kLora, Method::kQlora};
  constexpr planner::AttentionKernel kKernels[] = {planner::AttentionKernel::kFlash,
                                                   planner::AttentionKernel::kFlash,
                                                   planner::AttentionKernel::kEager};
  constexpr planner::LossKernel kLosses[] = {planner::LossKernel::kFull,
                                             planner::LossKernel::kChunked};
  constexpr int64_t kRows[] = {1, 1, 2, 4}, kAccumulations[] = {1, 1, 2}, kRanks[] = {4, 8, 16, 64};
  return {.method = draws.Of(kMethods),
          .lora = {.rank = draws.Of(kRanks)},
          .precision = precision,
          .attention = draws.Of(kKernels),
          .loss = draws.Of(kLosses),
          .micro_batch = draws.Of(kRows),
          .accumulation_count = draws.Of(kAccumulations)};
}

int64_t DrawContext(Draws& draws, bool cpu) {
  constexpr int64_t kOfCpus[] = {64, 128, 192, 256, 384, 512, 1024, 2048},
                    kOfGpus[] = {512, 1024, 2048, 4096, 8192, 16384, 32768};
  return draws.OfEither(cpu, kOfCpus, kOfGpus);
}

// Six for each parameter and token, and what attention forms of pairs.
double StepFlops(const ModelSpec& model, double token_count, double context) {
  const auto width = static_cast<double>(model.head_count * model.head_size);
  return token_count * (6 * static_cast<double>(planner::ParameterCount(model)) +
                        12 * static_cast<double>(model.layer_count) * width * context);
}

bool Within(const Bounds& bounds, const ModelSpec& model, const planner::ProgramInputs& in) {
  return planner::ParameterCount(model) <= bounds.parameter_count &&
         StepFlops(model, static_cast<double>(in.workload.rows_per_step * in.workload.context),
                   static_cast<double>(in.workload.context)) <= bounds.flops;
}

// Weights that stay in the caches are quicker than a whole model's: as many layers as fit the time, up to what caches do not hold.
int64_t LayersWithin(const Bounds& bounds, const planner::ProgramInputs& in) {
  ModelSpec model = in.model;
  const int64_t most = UncachedLayerCount(model);
  while (model.layer_count < most) {
    ++model.layer_count;
    if (!Within(bounds, model, in)) return model.layer_count - 1;
  }
  return model.layer_count;
}

// One draw; without layers where it takes too long.
planner::ProgramInputs DrawRun(Draws& draws, planner::Precision precision,
                               const planner::Backend& backend) {
  const bool cpu = backend.kind == planner::BackendKind::kCpu;
  constexpr Rung kRungs[] = {Rung::kKeep,  Rung::kKeep,   Rung::kActivation,
                             Rung::kNorms, Rung::kGateUp, Rung::kBlock};
  planner::ProgramInputs in;
  in.model = DrawModel(draws, cpu);
  in.mix = DrawMix(draws, precision);
  if (!planner::HasEagerAttention(backend, precision))
    in.mix.attention = planner::AttentionKernel::kFlash;
  in.workload = {.context = DrawContext(draws, cpu),
                 .rows_per_step = in.mix.micro_batch * in.mix.accumulation_count,
                 .evaluates = false,
                 .generates = false};
  const Rung rung = draws.Of(kRungs);
  in.backend = backend;
  in.model.layer_count = LayersWithin(BoundsOf(backend.kind), in);
  in.mix.recompute[static_cast<size_t>(rung)] = (in.model.layer_count + 1) / 2;
  in.mix.recompute[static_cast<size_t>(Rung::kKeep)] += in.model.layer_count / 2;
  in.mix.lora.targets = AllProjections(in.model);
  return in;
}

bool Fits(const planner::Program& program) {
  return program.inputs.backend.kind == planner::BackendKind::kCpu ||
         planner::MeasureMemory(program).device_bytes() <= kMostGpuBytes;
}

}  // namespace

std::vector<planner::ProgramInputs> ShortRuns(planner::Precision precision,
                                              const planner::Backend& backend) {
  Draws draws;
  std::vector<planner::ProgramInputs> runs;
  while (runs.size() < kCount) {
    planner::ProgramInputs in = DrawRun(draws, precision, backend);
    if (in.model.layer_count == 0) continue;
    // Not every rung is there in every block.
    const absl::StatusOr<planner::Program> program = planner::BuildProgram(in);
    if (program.ok() && Fits(*program)) runs.push_back(std::move(in));
  }
  return runs;
}

}  // namespace tunesmith::profiler
