#include "planner/program/layer_parameters.h"

#include <string>
#include <vector>

#include "common/text.h"
#include "common/units.h"
#include "planner/model/mix_names.h"
#include "planner/program/buckets.h"
#include "planner/program/forward_graph.h"
#include "planner/program/optimizer_states.h"

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
    while (!adapted_.empty()) AddAdapters(NextStack());
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
    if (!tensor.bias && !full_ &&
        IsAdapted(model_, program_.inputs.mix.lora, tensor.first_projection))
      adapted_.push_back(tensor);
  }

  // Those of what reads the same input as the first of the adapted modules, where they can be a stack; else the first alone.
  std::vector<ModelTensor> NextStack() {
    const ModelTensor first = adapted_.front();
    const bool stacks = CanStack(first);
    std::vector<ModelTensor> stack, others;
    for (const ModelTensor& tensor : adapted_) {
      const bool joins = stacks && InputOf(tensor) == InputOf(first);
      (joins || stack.empty() ? stack : others).push_back(tensor);
    }
    adapted_ = std::move(others);
    return stack;
  }

  // Adapters that drop read each its own input. In buckets parameters begin at whole blocks.
  bool CanStack(const ModelTensor& tensor) const {
    const LoraSpec& lora = program_.inputs.mix.lora;
    return lora.dropout == 0 && lora.rank * tensor.dims[1] % kStateBlockSize == 0;
  }

  enum class Input : uint8_t { kAttention, kHeads, kMlp, kProduct };
  static Input InputOf(const ModelTensor& tensor) {
    switch (tensor.first_projection) {
      case kProjectionO:
        return Input::kHeads;
      case kProjectionGate:
      case kProjectionUp:
        return Input::kMlp;
      case kProjectionDown:
        return Input::kProduct;
      default:
        return Input::kAttention;
    }
  }

  // All A one behind another, which as buckets keep them makes them a stack; then all B.
  void AddAdapters(const std::vector<ModelTensor>& modules) {
    const int64_t rank = program_.inputs.mix.lora.rank;
    WeightStack stack;
    for (const ModelTensor& module : modules)
      stack.parameters.push_back(
          AddAdapter(module, ".lora_A.weight", Matrix(rank, module.dims[1])));
    const bool is_stack = modules.size() > 1;
    const int32_t index = is_stack ? static_cast<int32_t>(program_.stacks.size()) : -1;
    for (size_t i = 0; i < modules.size(); ++i) {
      const ModelTensor& module = modules[i];
      const int32_t b = AddAdapter(module, ".lora_B.weight", Matrix(module.dims[0], rank));
      for (int j = 0; j < module.projection_count; ++j) {
        ProjectionParameters& part =
            p_.projections[static_cast<size_t>(module.first_projection + j)];
        part.lora_a = stack.parameters[i];
        part.lora_b = b;
        part.stack = index;
        part.stack_row = is_stack ? static_cast<int64_t>(i) * rank : 0;
      }
    }
    if (is_stack) AddStack(std::move(stack));
  }

  int32_t AddAdapter(const ModelTensor& module, const char* suffix, Shape shape) {
    return AddParameter(program_, Name(module.layer).With(module.module).With(suffix), shape,
                        model_.layer_count, true, true, GradientBirth::kLayer);
  }

  // Makes the parameters' weights and gradients views of the stack's.
  void AddStack(WeightStack stack) {
    const auto of_first = [&](int32_t Parameter::*member) {
      return program_.parameters[static_cast<size_t>(stack.parameters[0])].*member;
    };
    stack.weight = AddWhole(of_first(&Parameter::weight), stack);
    stack.gradient = AddWhole(of_first(&Parameter::gradient), stack);
    for (size_t i = 0; i < stack.parameters.size(); ++i) {
      const Parameter& p = program_.parameters[static_cast<size_t>(stack.parameters[i])];
      MakePart(p.weight, stack.weight, static_cast<int64_t>(i));
      MakePart(p.gradient, stack.gradient, static_cast<int64_t>(i));
    }
    program_.stacks.push_back(std::move(stack));
  }

  // As many as there are of a buffer like `part`, under one another; -1 of none.
  int32_t AddWhole(int32_t part, const WeightStack& stack) {
    if (part < 0) return -1;
    Buffer whole = program_.buffers[static_cast<size_t>(part)];
    whole.name = whole.name.With(".stack");
    whole.dims[0] *= static_cast<int64_t>(stack.parameters.size());
    program_.buffers.push_back(whole);
    return static_cast<int32_t>(program_.buffers.size()) - 1;
  }

  void MakePart(int32_t id, int32_t whole, int64_t index) {
    if (id < 0) return;
    Buffer& part = program_.buffers[static_cast<size_t>(id)];
    part.region = Region::kView;
    part.view_of = whole;
    part.view_offset_bytes = index * InstanceBytes(part);
  }

  Program& program_;
  const ModelSpec& model_;
  const bool full_;
  ModelParameters p_;
  std::vector<ModelTensor> adapted_;  // whose adapters are to be added
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
  const ModelParameters parameters = ParameterAdder(program).Add();
  if (HasBuckets(program.inputs)) AddBuckets(program);
  return parameters;
}

}  // namespace tunesmith::planner
