#include "planner/program/layer_parameters.h"

#include <string>
#include <vector>

#include "common/text.h"
#include "common/units.h"
#include "planner/model/mix_names.h"
#include "planner/program/buckets.h"
#include "planner/program/forward_graph.h"
#include "planner/program/optimizer_states.h"
#include "planner/program/weight_stacks.h"

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

int32_t AddParameter(Program& program, Name name, Shape shape, int64_t instance_count,
                     bool trainable, bool decays, GradientBirth birth) {
  const ProgramInputs& in = program.inputs;
  trainable = trainable && in.trains;
  Parameter p{.trainable = trainable, .decays = decays, .birth = birth};
  p.weight =
      AddResident(program, name, ComputeDType(in), shape, instance_count, MemoryClass::kWeights);
  if (trainable) {
    p.gradient = AddResident(program, name.With(".gradient"), GradientDType(in), shape,
                             instance_count, MemoryClass::kGradients, Region::kGradient);
    if (!HasBuckets(in)) SetStates(AddOptimizerStates(program, name, shape, instance_count), p);
  }
  program.parameters.push_back(p);
  return static_cast<int32_t>(program.parameters.size()) - 1;
}

// A frozen matrix in 4-bit NormalFloat.
int32_t AddQuantized(Program& program, const ModelTensor& tensor, Name name,
                     int64_t instance_count) {
  const auto add = [&](Name part, DType dtype, Shape dims) {
    return AddResident(program, part, dtype, dims, instance_count, MemoryClass::kWeights);
  };
  const int64_t blocks = CeilDivide(tensor.element_count(), kNf4BlockSize);
  const bool twice = program.inputs.mix.double_quantization;
  Parameter p;
  p.weight = add(name, DType::kU8, Matrix(tensor.dims[0], tensor.dims[1] / 2));
  p.absmax = add(name.With(".absmax"), twice ? DType::kU8 : DType::kF32, Vector(blocks));
  if (twice) {
    p.absmax_scale = add(name.With(".absmax_scale"), DType::kF32,
                         Vector(CeilDivide(blocks, kNf4ScaleBlockSize)));
    p.absmax_offset = add(name.With(".absmax_offset"), DType::kF32, Vector(1));
  }
  program.parameters.push_back(p);
  return static_cast<int32_t>(program.parameters.size()) - 1;
}

GradientBirth BirthOf(const ModelSpec& model, const ModelTensor& tensor) {
  switch (tensor.role) {
    case TensorRole::kEmbedding:
      return model.tied_head ? GradientBirth::kHead : GradientBirth::kEmbedding;
    case TensorRole::kPositions:
      return GradientBirth::kEmbedding;
    case TensorRole::kFinalNorm:
      return GradientBirth::kFinalNorm;
    case TensorRole::kHead:
      return GradientBirth::kHead;
    default:
      return GradientBirth::kLayer;
  }
}

Shape ShapeOf(const ModelTensor& tensor) {
  return tensor.rank == 1 ? Vector(tensor.dims[0]) : Matrix(tensor.dims[0], tensor.dims[1]);
}

Name NameOf(const ModelTensor& tensor) {
  if (tensor.layer[0] == '\0') return Name(tensor.module).With(tensor.suffix);
  return Name(tensor.layer).With(tensor.module).With(tensor.suffix);
}

class ParameterAdder {
 public:
  explicit ParameterAdder(Program& program)
      : program_(program),
        model_(program.inputs.model),
        full_(program.inputs.mix.method == Method::kFull) {}

  ModelParameters Add() {
    ForEachTopTensor(model_, [this](const ModelTensor& tensor) { AddTensor(tensor, 1); });
    ForEachLayerTensor(
        model_, [this](const ModelTensor& tensor) { AddTensor(tensor, model_.layer_count); });
    if (model_.tied_head) p_.head = p_.embedding;
    return p_;
  }

 private:
  void AddTensor(const ModelTensor& tensor, int64_t count) {
    // What chooses the experts is planned as frozen.
    const bool trains = full_ && tensor.role != TensorRole::kRouter;
    const bool quantized = program_.inputs.mix.method == Method::kQlora &&
                           tensor.role == TensorRole::kProjection && !tensor.bias;
    const int32_t id = quantized ? AddQuantized(program_, tensor, NameOf(tensor), count)
                                 : AddParameter(program_, NameOf(tensor), ShapeOf(tensor), count,
                                                trains, tensor.rank > 1, BirthOf(model_, tensor));
    const auto norm = [&](NormParameters& of) { (tensor.bias ? of.bias : of.weight) = id; };
    switch (tensor.role) {
      case TensorRole::kEmbedding:
        p_.embedding = id;
        break;
      case TensorRole::kPositions:
        p_.positions = id;
        break;
      case TensorRole::kHead:
        (tensor.bias ? p_.head_bias : p_.head) = id;
        break;
      case TensorRole::kFinalNorm:
        return norm(p_.final_norm);
      case TensorRole::kAttentionNorm:
        return norm(p_.attention_norm);
      case TensorRole::kMlpNorm:
        return norm(p_.mlp_norm);
      case TensorRole::kAttentionPostNorm:
        return norm(p_.attention_post_norm);
      case TensorRole::kMlpPostNorm:
        return norm(p_.mlp_post_norm);
      case TensorRole::kQNorm:
        p_.q_norm = id;
        break;
      case TensorRole::kKNorm:
        p_.k_norm = id;
        break;
      case TensorRole::kRouter:
        p_.router = id;
        break;
      case TensorRole::kProjection:
        return AddProjections(tensor, id);
    }
  }

  void AddProjections(const ModelTensor& tensor, int32_t id) {
    int64_t row = 0;
    for (int i = 0; i < tensor.projection_count; ++i) {
      ProjectionParameters& part = p_.projections[static_cast<size_t>(tensor.first_projection + i)];
      (tensor.bias ? part.bias : part.weight) = id;
      part.first_row = row;
      part.row_count = ShapeOfProjection(model_, tensor.first_projection + i).output_size;
      row += part.row_count;
    }
    if (!tensor.bias) AddAdapter(tensor);
  }

  void AddAdapter(const ModelTensor& tensor) {
    const LoraSpec& lora = program_.inputs.mix.lora;
    if (full_ || !IsAdapted(model_, lora, tensor.first_projection)) return;
    const Name module = Name(tensor.layer).With(tensor.module);
    const auto add = [&](const char* suffix, Shape shape) {
      return AddParameter(program_, module.With(suffix), shape, model_.layer_count, true, true,
                          GradientBirth::kLayer);
    };
    const int32_t a = add(".lora_A.weight", Matrix(lora.rank, tensor.dims[1]));
    const int32_t b = add(".lora_B.weight", Matrix(tensor.dims[0], lora.rank));
    for (int i = 0; i < tensor.projection_count; ++i) {
      ProjectionParameters& part = p_.projections[static_cast<size_t>(tensor.first_projection + i)];
      part.lora_a = a;
      part.lora_b = b;
    }
  }

  Program& program_;
  const ModelSpec& model_;
  const bool full_;
  ModelParameters p_;
};

// Bits of the projections that the module of `projection` holds.
uint32_t ModuleBits(const ModelSpec& model, int projection) {
  uint32_t bits = 0;
  ForEachLayerTensor(model, [&](const ModelTensor& tensor) {
    const int last = tensor.first_projection + tensor.projection_count;
    if (tensor.first_projection < 0 || projection < tensor.first_projection || projection >= last)
      return;
    for (int i = tensor.first_projection; i < last; ++i) bits |= 1u << i;
  });
  return bits;
}

std::string NamesOfTargets(uint32_t bits) {
  std::vector<std::string_view> names;
  for (size_t i = 0; i < kLoraTargetNames.size(); ++i) {
    if ((bits >> i & 1u) != 0) names.push_back(kLoraTargetNames[i]);
  }
  return StrJoin(names, "+");
}

}  // namespace

bool IsAdapted(const ModelSpec& model, const LoraSpec& lora, int projection) {
  const bool expert = model.expert_count > 0 && projection >= kProjectionGate;
  return !expert && HasProjection(model, projection) && (lora.targets >> projection & 1u) != 0;
}

absl::Status CheckTargets(const ModelSpec& model, const LoraSpec& lora) {
  bool any = false;
  for (int i = 0; i < kProjectionCount; ++i) {
    if (!IsAdapted(model, lora, i)) continue;
    any = true;
    const uint32_t module = ModuleBits(model, i);
    if ((module & ~lora.targets) == 0) continue;
    return absl::InvalidArgumentError(StrCat(
        "method: lora targets ", NamesOfTargets(lora.targets), ": family ", model.family, " holds ",
        NamesOfTargets(module), " in one module (",
        NamesOf(model).projections[static_cast<size_t>(i)], "); target all of them or none"));
  }
  if (any) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("method: lora targets ", NamesOfTargets(lora.targets),
                                           " name no linear layer of a model of the family ",
                                           model.family, "; write all or attention"));
}

bool CanQuantize(const ModelSpec& model) {
  for (int i = 0; i < kProjectionCount; ++i) {
    if (HasProjection(model, i) && ShapeOfProjection(model, i).input_size % 2 != 0) return false;
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
  ModelParameters parameters = ParameterAdder(program).Add();
  StackWeights(program, parameters);
  if (HasBuckets(program.inputs)) AddBuckets(program);
  return parameters;
}

}  // namespace tunesmith::planner
