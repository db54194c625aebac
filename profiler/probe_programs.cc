#include "profiler/probe_programs.h"

#include <algorithm>

#include "planner/answer/candidates.h"
#include "planner/model/model_tensors.h"
#include "planner/program/layer_parameters.h"

namespace tunesmith::profiler {
namespace {

using planner::AttentionKernel;
using planner::Method;
using planner::ModelSpec;

// Weights of so many bytes do not stay in the caches from one use to the next, as those of whole models do not.
constexpr int64_t kUncachedBytes = 64 << 20;
constexpr int64_t kLeastLayerCount = 2;

struct Shape {
  Method method = Method::kLora;
  AttentionKernel attention = AttentionKernel::kFlash;
  int64_t context = 0;
  int64_t micro_batch = 1;
  int64_t rank = 16;
  int64_t accumulation = 1;
  planner::Offload offload =
      planner::Offload::kNone;  // with half of the layers' inputs in the host's memory
};

planner::ProgramInputs InputsOf(const ModelSpec& model, const Shape& shape,
                                planner::Precision precision, const planner::Backend& backend) {
  planner::ProgramInputs in;
  in.model = model;
  in.workload = {.context = shape.context,
                 .rows_per_step = shape.micro_batch * shape.accumulation,
                 .evaluates = false,
                 .generates = false};
  in.mix = {.method = shape.method,
            .lora = {.rank = shape.rank, .targets = AllProjections(model)},
            .precision = precision,
            .attention = planner::HasEagerAttention(backend, precision) ? shape.attention
                                                                        : AttentionKernel::kFlash,
            .loss = planner::LossKernel::kChunked,
            .micro_batch = shape.micro_batch,
            .accumulation_count = shape.accumulation};
  const int64_t on_host = shape.offload == planner::Offload::kNone ? 0 : model.layer_count / 2;
  in.mix.offload = shape.offload;
  in.mix.recompute[static_cast<size_t>(planner::Rung::kHost)] = on_host;
  in.mix.recompute[static_cast<size_t>(planner::Rung::kKeep)] = model.layer_count - on_host;
  in.backend = backend;
  return in;
}

ModelSpec Small(const char* family, int64_t hidden, int64_t intermediate, int64_t heads,
                int64_t kv_heads, int64_t head_size, int64_t layers) {
  ModelSpec model;
  model.name = family;
  model.family = family;
  model.layer_count = layers;
  model.hidden_size = hidden;
  model.intermediate_size = intermediate;
  model.head_count = heads;
  model.kv_head_count = kv_heads;
  model.head_size = head_size;
  model.vocab_size = 8192;
  model.context_limit = 4096;
  return model;
}

// Layer norms and biases, no gate.
ModelSpec PlainSmall(int64_t hidden, int64_t heads, int64_t layers) {
  ModelSpec model = Small("gpt_neox", hidden, 4 * hidden, heads, heads, hidden / heads, layers);
  model.norm = planner::NormKind::kLayer;
  model.norm_bias = model.plain_mlp = true;
  model.qkv_bias = model.output_bias = model.mlp_bias = true;
  model.parallel_blocks = true;
  model.activation = planner::Activation::kGelu;
  return model;
}

ModelSpec NormedHeads(ModelSpec model) {
  model.family = "qwen3";
  model.qk_norm = true;
  return model;
}

struct Probe {
  ModelSpec model;
  Shape shape;
};

std::vector<Probe> ProbesOf(const ModelSpec& model, int64_t context) {
  std::vector<Probe> probes = {{model, {.method = Method::kLora, .context = context}},
                               {model, {.method = Method::kFull, .context = context}},
                               {model, {.attention = AttentionKernel::kEager, .context = context}}};
  if (planner::CanQuantize(model))
    probes.push_back({model, {.method = Method::kQlora, .context = context}});
  probes.push_back({model, {.method = Method::kFull, .context = context, .micro_batch = 2}});
  probes.push_back(
      {model, {.method = Method::kLora, .context = context, .micro_batch = 2, .rank = 64}});
  return probes;
}

std::vector<Probe> OtherProbesOfCpus() {
  const ModelSpec wide = Small("llama", 2048, 5632, 16, 4, 128, 2),
                  middle = NormedHeads(Small("llama", 1024, 2816, 8, 4, 128, 4)),
                  narrow = Small("llama", 320, 864, 10, 10, 32, 4), plain = PlainSmall(768, 12, 5),
                  plain_narrow = PlainSmall(512, 8, 8);
  const auto eager = AttentionKernel::kEager;
  return {
      {plain, {.method = Method::kFull, .context = 256, .micro_batch = 2}},
      {wide, {.method = Method::kFull, .context = 64, .accumulation = 2}},
      {narrow, {.method = Method::kFull, .context = 2048}},
      {middle,
       {.method = Method::kQlora, .context = 128, .micro_batch = 2, .rank = 8, .accumulation = 2}},
      {plain_narrow, {.method = Method::kLora, .context = 1024, .rank = 8}},
      {narrow,
       {.attention = eager, .context = 128, .micro_batch = 4, .rank = 4, .accumulation = 2}},
      {middle, {.method = Method::kFull, .attention = eager, .context = 512}},
      {wide, {.method = Method::kLora, .context = 256, .rank = 32}},
      {plain, {.method = Method::kLora, .attention = eager, .context = 64, .micro_batch = 2}},
      {plain_narrow, {.method = Method::kFull, .context = 64, .micro_batch = 8}},
      {narrow,
       {.method = Method::kFull,
        .context = 256,
        .accumulation = 2,
        .offload = planner::Offload::kAll}},
      {plain,
       {.method = Method::kFull,
        .context = 128,
        .accumulation = 2,
        .offload = planner::Offload::kOptimizer}}};
}

// As wide as models that GPUs fine-tune, with their vocabularies and contexts: what is predicted lies between.
std::vector<Probe> OtherProbesOfGpus(bool has_cudnn) {
  constexpr int64_t kContextLimit = 1 << 17;
  const auto made = [](ModelSpec model, int64_t vocab_size) {
    model.vocab_size = vocab_size;
    model.context_limit = kContextLimit;
    return model;
  };
  const ModelSpec wide = made(Small("llama", 4096, 14336, 32, 8, 128, 2), 128256),
                  widest = made(Small("llama", 8192, 28672, 64, 8, 128, 1), 32000),
                  middle = made(NormedHeads(Small("llama", 2048, 6144, 16, 8, 128, 4)), 151936),
                  narrow = made(Small("llama", 896, 4864, 14, 2, 64, 8), 151936),
                  plain = made(PlainSmall(2560, 20, 4), 50304);
  const auto eager = AttentionKernel::kEager, cudnn = AttentionKernel::kCudnn;
  std::vector<Probe> probes;
  // First, since the search offers what was measured.
  if (has_cudnn)
    probes = {{narrow, {.attention = cudnn, .context = 1024, .micro_batch = 8}},
              {wide, {.attention = cudnn, .context = 4096}},
              {wide, {.attention = cudnn, .context = 32768}},
              {narrow, {.attention = cudnn, .context = 16384}}};
  const std::vector<Probe> others = {
      {wide, {.method = Method::kLora, .context = 8192}},
      {narrow, {.method = Method::kFull, .context = 1024, .micro_batch = 16}},
      {middle, {.method = Method::kFull, .context = 4096, .micro_batch = 2}},
      {widest, {.method = Method::kQlora, .context = 2048, .micro_batch = 2}},
      {narrow, {.method = Method::kLora, .context = 32768}},
      {wide, {.method = Method::kQlora, .context = 512, .micro_batch = 4, .rank = 64}},
      {middle, {.method = Method::kFull, .attention = eager, .context = 2048}},
      {wide, {.method = Method::kLora, .context = 32768, .rank = 8}},
      {plain, {.method = Method::kFull, .context = 1024, .micro_batch = 4}},
      {narrow, {.attention = eager, .context = 512, .micro_batch = 8, .rank = 4}},
      {wide, {.method = Method::kFull, .context = 2048, .micro_batch = 2}},
      {middle, {.method = Method::kLora, .attention = eager, .context = 4096}},
      {widest, {.method = Method::kLora, .context = 16384}},
      {narrow, {.method = Method::kFull, .context = 16384}},
      {plain, {.method = Method::kFull, .context = 4096}}};
  probes.insert(probes.end(), others.begin(), others.end());
  return probes;
}

}  // namespace

int64_t UncachedLayerCount(const ModelSpec& model) {
  ModelSpec one = model, two = model;
  one.layer_count = 1;
  two.layer_count = 2;
  const int64_t layer_bytes = 4 * (planner::ParameterCount(two) - planner::ParameterCount(one));
  return std::max(kLeastLayerCount, kUncachedBytes / std::max<int64_t>(layer_bytes, 1));
}

uint32_t AllProjections(const ModelSpec& model) {
  uint32_t bits = 0;
  for (int projection = 0; projection < planner::kProjectionCount; ++projection)
    if (planner::HasProjection(model, projection)) bits |= 1u << projection;
  return bits;
}

std::vector<planner::ProgramInputs> ProbePrograms(const ProbeModel& probe,
                                                  const planner::Backend& backend) {
  ModelSpec model = probe.model;
  model.layer_count = std::min(model.layer_count, UncachedLayerCount(model));
  std::vector<Probe> probes = ProbesOf(model, probe.context);
  for (Probe& other :
       backend.kind == planner::BackendKind::kCpu
           ? OtherProbesOfCpus()
           : OtherProbesOfGpus(probe.has_cudnn && probe.precision == planner::Precision::kBf16))
    probes.push_back(std::move(other));
  std::vector<planner::ProgramInputs> programs;
  for (Probe& p : probes) {
    // A GPU has the time to see on all shapes how gradients are added up; of a processor the smaller ones show it.
    if (backend.kind == planner::BackendKind::kCuda) p.shape.accumulation = 2;
    programs.push_back(InputsOf(p.model, p.shape, probe.precision, backend));
  }
  return programs;
}

}  // namespace tunesmith::profiler
