#include "planner/program/weight_stacks.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace tunesmith::planner {
namespace {

void AddNew(int32_t parameter, std::vector<int32_t>& parameters) {
  if (parameters.empty() || parameters.back() != parameter) parameters.push_back(parameter);
}

class Stacker {
 public:
  Stacker(Program& program, ModelParameters& parameters) : program_(program), p_(parameters) {}

  void Stack() {
    StackAdapters(kProjectionQ, kProjectionV);
    StackAdapters(kProjectionGate, kProjectionUp);
    p_.qkv = Fuse(kProjectionQ, kProjectionV);
    p_.gate_up = Fuse(kProjectionGate, kProjectionUp);
  }

 private:
  // Where moments are stored by blocks, parameters in buckets begin at whole ones.
  bool CanStack(const std::vector<int32_t>& parameters) const {
    const bool blocks = program_.inputs.mix.optimizer_state == OptimizerState::kInt8;
    return std::all_of(parameters.begin(), parameters.end(), [&](int32_t id) {
      const Parameter& p = program_.parameters[static_cast<size_t>(id)];
      const int64_t count = ElementCount(program_.buffers[static_cast<size_t>(p.weight)]);
      return p.absmax < 0 && (!blocks || count % kStateBlockSize == 0);
    });
  }

  // The A of the projections from `first` to `last`, which read the same input, but where each drops elements of its own.
  void StackAdapters(int first, int last) {
    std::vector<int32_t> adapters;
    for (int i = first; i <= last; ++i) {
      const int32_t a = p_.projections[static_cast<size_t>(i)].lora_a;
      if (a >= 0) AddNew(a, adapters);
    }
    const LoraSpec& lora = program_.inputs.mix.lora;
    if (adapters.size() < 2 || lora.dropout > 0 || !CanStack(adapters)) return;
    for (int i = first; i <= last; ++i) {
      ProjectionParameters& p = p_.projections[static_cast<size_t>(i)];
      const auto at = std::find(adapters.begin(), adapters.end(), p.lora_a);
      if (at == adapters.end()) continue;
      p.stack = static_cast<int32_t>(program_.stacks.size());
      p.stack_row = (at - adapters.begin()) * lora.rank;
    }
    AddStack({.parameters = adapters});
  }

  // The projections from `first` to `last`, where none is adapted and all are there, of no experts.
  FusedParameters Fuse(int first, int last) {
    std::vector<int32_t> weights, biases;
    for (int i = first; i <= last; ++i) {
      const ProjectionParameters& p = p_.projections[static_cast<size_t>(i)];
      if (p.weight < 0 || p.lora_a >= 0) return {};
      AddNew(p.weight, weights);
      if (p.bias >= 0) AddNew(p.bias, biases);
    }
    const bool experts = program_.inputs.model.expert_count > 0 && first == kProjectionGate;
    const bool all_or_none = biases.empty() || biases.size() == weights.size();
    if (experts || !all_or_none || !CanBeOne(weights) || !CanBeOne(biases)) return {};
    FusedParameters fused;
    SetOne(weights, fused.weight, fused.weight_stack);
    SetOne(biases, fused.bias, fused.bias_stack);
    return fused;
  }

  bool CanBeOne(const std::vector<int32_t>& parameters) const {
    return parameters.size() < 2 || CanStack(parameters);
  }
  // The one parameter, or a new stack of several.
  void SetOne(const std::vector<int32_t>& parameters, int32_t& one, int32_t& stack) {
    if (parameters.size() == 1) one = parameters[0];
    if (parameters.size() < 2) return;
    stack = static_cast<int32_t>(program_.stacks.size());
    AddStack({.parameters = parameters});
  }

  // Makes the parameters' weights and gradients views of the stack's.
  void AddStack(WeightStack stack) {
    stack.weight = AddWhole(stack, &Parameter::weight);
    stack.gradient = AddWhole(stack, &Parameter::gradient);
    program_.stacks.push_back(std::move(stack));
  }

  // The buffer that has theirs under one another; -1 where they have none.
  int32_t AddWhole(const WeightStack& stack, int32_t Parameter::*member) {
    const int32_t whole = static_cast<int32_t>(program_.buffers.size());
    int64_t rows = 0, offset_bytes = 0;
    for (int32_t parameter : stack.parameters) {
      const int32_t id = program_.parameters[static_cast<size_t>(parameter)].*member;
      if (id < 0) return -1;
      Buffer& part = program_.buffers[static_cast<size_t>(id)];
      part.region = Region::kView;
      part.view_of = whole;
      part.view_offset_bytes = offset_bytes;
      offset_bytes += InstanceBytes(part);
      rows += part.dims[0];
    }
    const Parameter& first = program_.parameters[static_cast<size_t>(stack.parameters[0])];
    Buffer buffer = program_.buffers[static_cast<size_t>(first.*member)];
    buffer.name = buffer.name.With(".stack");
    buffer.dims[0] = rows;
    buffer.region = member == &Parameter::gradient ? Region::kGradient : Region::kResident;
    buffer.view_of = -1;
    program_.buffers.push_back(buffer);
    return whole;
  }

  Program& program_;
  ModelParameters& p_;
};

}  // namespace

void StackWeights(Program& program, ModelParameters& parameters) {
  Stacker(program, parameters).Stack();
}

}  // namespace tunesmith::planner
