#include "planner/program/layer_parameters.h"

#include "common/units.h"
#include "planner/program/forward_graph.h"

namespace tunesmith::planner {
namespace {

int32_t AddResident(Program& program, Name name, DType dtype, Shape shape, int64_t instance_count,
                    MemoryClass memory_class, Region region = Region::kResident) {
  program.buffers.push_back({.name = name,
                             .dtype = dtype,
                             .dims = shape.dims,
                             .rank = shape.rank,
                             .region = region,
                             .memory_class = memory_class,
                             .instance_count = instance_count});
  return static_cast<int32_t>(program.buffers.size()) - 1;
}

DType MomentDType(const ProgramInputs& inputs) {
  if (inputs.double_precision) return DType::kF64;
  switch (inputs.mix.optimizer_state) {
    case OptimizerState::kFp32:
      return DType::kF32;
    case OptimizerState::kBf16:
      return DType::kBF16;
    case OptimizerState::kInt8:
      return DType::kU8;
  }
  return DType::kF32;
}

// A moment; its scales too where it has some.
int32_t AddMoment(Program& program, Name name, const char* moment, const char* scales, Shape shape,
                  int64_t instance_count, int32_t* scale) {
  const DType dtype = MomentDType(program.inputs);
  const int32_t id = AddResident(program, name.With(moment), dtype, shape, instance_count,
                                 MemoryClass::kOptimizer);
  if (dtype == DType::kU8) {
    const int64_t elements = shape.dims[0] * shape.dims[1] * shape.dims[2];
    *scale = AddResident(program, name.With(scales), DType::kF32,
                         Vector(CeilDivide(elements, kStateBlockSize)), instance_count,
                         MemoryClass::kOptimizer);
  }
  return id;
}

// A narrow weight needs a wide master copy, unless it is rounded stochastically.
bool HasMaster(const ProgramInputs& inputs) {
  return ComputeDType(inputs) == DType::kBF16 &&
         inputs.mix.optimizer_state != OptimizerState::kBf16;
}

// What the optimizer keeps beside a trainable weight.
void AddStates(Program& program, Name name, Shape shape, int64_t instance_count, Parameter& p) {
  if (program.inputs.mix.optimizer == Optimizer::kAdamW) {
    p.moment1 = AddMoment(program, name, ".moment1", ".moment1_scale", shape, instance_count,
                          &p.moment1_scale);
    p.moment2 = AddMoment(program, name, ".moment2", ".moment2_scale", shape, instance_count,
                          &p.moment2_scale);
  }
  if (HasMaster(program.inputs))
    p.master = AddResident(program, name.With(".master"), DType::kF32, shape, instance_count,
                           MemoryClass::kOptimizer);
}

int32_t AddParameter(Program& program, Name name, Shape shape, int64_t instance_count,
                     bool trainable, bool decays) {
  const ProgramInputs& in = program.inputs;
  trainable = trainable && in.trains;
  Parameter p{.trainable = trainable, .decays = decays};
  p.weight =
      AddResident(program, name, ComputeDType(in), shape, instance_count, MemoryClass::kWeights);
  if (trainable) {
    p.gradient = AddResident(program, name.With(".gradient"), GradientDType(in), shape,
                             instance_count, MemoryClass::kGradients, Region::kGradient);
    AddStates(program, name, shape, instance_count, p);
  }
  program.parameters.push_back(p);
  return static_cast<int32_t>(program.parameters.size()) - 1;
}

// A frozen matrix in 4-bit NormalFloat.
int32_t AddQuantized(Program& program, Name name, ProjectionShape shape, int64_t instance_count) {
  const auto add = [&](Name part, DType dtype, Shape dims) {
    return AddResident(program, part, dtype, dims, instance_count, MemoryClass::kWeights);
  };
  const int64_t blocks = CeilDivide(shape.output_size * shape.input_size, kNf4BlockSize);
  const bool twice = program.inputs.mix.double_quantization;
  Parameter p;
  p.weight = add(name, DType::kU8, Matrix(shape.output_size, shape.input_size / 2));
  p.absmax = add(name.With(".absmax"), twice ? DType::kU8 : DType::kF32, Vector(blocks));
  if (twice) {
    p.absmax_scale = add(name.With(".absmax_scale"), DType::kF32,
                         Vector(CeilDivide(blocks, kNf4ScaleBlockSize)));
    p.absmax_offset = add(name.With(".absmax_offset"), DType::kF32, Vector(1));
  }
  program.parameters.push_back(p);
  return static_cast<int32_t>(program.parameters.size()) - 1;
}

}  // namespace

const char* ProjectionPath(int projection) {
  constexpr const char* kPaths[kProjectionCount] = {
      "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
      "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
  return kPaths[projection];
}

ProjectionShape ShapeOfProjection(const ModelSpec& model, int projection) {
  const int64_t query_size = model.head_count * model.head_size,
                kv_size = model.kv_head_count * model.head_size;
  switch (projection) {
    case kProjectionQ:
      return {query_size, model.hidden_size};
    case kProjectionK:
    case kProjectionV:
      return {kv_size, model.hidden_size};
    case kProjectionO:
      return {model.hidden_size, query_size};
    case kProjectionDown:
      return {model.hidden_size, model.intermediate_size};
    default:
      return {model.intermediate_size, model.hidden_size};
  }
}

bool CanQuantize(const ModelSpec& model) {
  for (int i = 0; i < kProjectionCount; ++i) {
    if (ShapeOfProjection(model, i).input_size % 2 != 0) return false;
  }
  return true;
}

DType ComputeDType(const ProgramInputs& inputs) {
  if (inputs.double_precision) return DType::kF64;
  return inputs.mix.precision == Precision::kBf16 ? DType::kBF16 : DType::kF32;
}

DType GradientDType(const ProgramInputs& inputs) {
  if (inputs.double_precision) return DType::kF64;
  return inputs.mix.accumulation_dtype == AccumulationDtype::kBf16 ? DType::kBF16 : DType::kF32;
}

DType StatisticDType(const ProgramInputs& inputs) {
  return inputs.double_precision ? DType::kF64 : DType::kF32;
}

ModelParameters AddParameters(Program& program) {
  const ModelSpec& model = program.inputs.model;
  const LoraSpec& lora = program.inputs.mix.lora;
  const bool full = program.inputs.mix.method == Method::kFull;
  const int64_t layers = model.layer_count;
  ModelParameters p;
  p.embedding = AddParameter(program, "model.embed_tokens.weight",
                             Matrix(model.vocab_size, model.hidden_size), 1, full, true);
  p.final_norm =
      AddParameter(program, "model.norm.weight", Vector(model.hidden_size), 1, full, false);
  p.head = model.tied_head
               ? p.embedding
               : AddParameter(program, "lm_head.weight",
                              Matrix(model.vocab_size, model.hidden_size), 1, full, true);
  p.attention_norm = AddParameter(program, "model.layers.{}.input_layernorm.weight",
                                  Vector(model.hidden_size), layers, full, false);
  p.mlp_norm = AddParameter(program, "model.layers.{}.post_attention_layernorm.weight",
                            Vector(model.hidden_size), layers, full, false);
  p.bias.fill(-1);
  p.lora_a.fill(-1);
  p.lora_b.fill(-1);
  for (int i = 0; i < kProjectionCount; ++i) {
    const size_t index = static_cast<size_t>(i);
    const ProjectionShape shape = ShapeOfProjection(model, i);
    const Name path = Name("model.layers.{}.").With(ProjectionPath(i));
    p.weight[index] =
        program.inputs.mix.method == Method::kQlora
            ? AddQuantized(program, path.With(".weight"), shape, layers)
            : AddParameter(program, path.With(".weight"),
                           Matrix(shape.output_size, shape.input_size), layers, full, true);
    if (model.qkv_bias && i <= kProjectionV)
      p.bias[index] =
          AddParameter(program, path.With(".bias"), Vector(shape.output_size), layers, full, false);
    if (full || (lora.targets >> i & 1u) == 0) continue;
    p.lora_a[index] = AddParameter(program, path.With(".lora_A.weight"),
                                   Matrix(lora.rank, shape.input_size), layers, true, true);
    p.lora_b[index] = AddParameter(program, path.With(".lora_B.weight"),
                                   Matrix(shape.output_size, lora.rank), layers, true, true);
  }
  return p;
}

}  // namespace tunesmith::planner
