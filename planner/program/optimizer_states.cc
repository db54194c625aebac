#include "planner/program/optimizer_states.h"

#include "common/units.h"
#include "planner/program/add_buffer.h"
#include "planner/program/layer_parameters.h"

namespace tunesmith::planner {
namespace {

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

int32_t AddState(Program& program, Name name, DType dtype, Shape shape, int64_t instance_count,
                 Space space) {
  return AddBuffer(program, {.name = name,
                             .dtype = dtype,
                             .dims = shape.dims,
                             .rank = shape.rank,
                             .region = Region::kResident,
                             .memory_class = MemoryClass::kOptimizer,
                             .instance_count = instance_count,
                             .space = space});
}

// A moment; its scales too where it has some.
int32_t AddMoment(Program& program, Name name, const char* moment, const char* scales, Shape shape,
                  int64_t instance_count, Space space, int32_t* scale) {
  const DType dtype = MomentDType(program.inputs);
  const int32_t id = AddState(program, name.With(moment), dtype, shape, instance_count, space);
  if (dtype == DType::kU8) {
    const int64_t elements = shape.dims[0] * shape.dims[1] * shape.dims[2];
    *scale = AddState(program, name.With(scales), DType::kF32,
                      Vector(CeilDivide(elements, kStateBlockSize)), instance_count, space);
  }
  return id;
}

// A narrow weight needs a wide master copy, unless it is rounded stochastically.
bool HasMaster(const ProgramInputs& inputs) {
  return ComputeDType(inputs) == DType::kBF16 &&
         inputs.mix.optimizer_state != OptimizerState::kBf16;
}

}  // namespace

OptimizerStates AddOptimizerStates(Program& program, Name name, Shape shape, int64_t instance_count,
                                   Space space) {
  OptimizerStates states;
  if (program.inputs.mix.optimizer == Optimizer::kAdamW) {
    states.moment1 = AddMoment(program, name, ".moment1", ".moment1_scale", shape, instance_count,
                               space, &states.moment1_scale);
    states.moment2 = AddMoment(program, name, ".moment2", ".moment2_scale", shape, instance_count,
                               space, &states.moment2_scale);
  }
  if (HasMaster(program.inputs))
    states.master =
        AddState(program, name.With(".master"), DType::kF32, shape, instance_count, space);
  return states;
}

}  // namespace tunesmith::planner
