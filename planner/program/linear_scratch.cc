#include "planner/program/linear_scratch.h"

#include "planner/program/add_buffer.h"
#include "planner/program/gemm_shape.h"
#include "planner/program/linear_workspace.h"

namespace tunesmith::planner {
namespace {

bool IsNarrow(const Program& program, BufferRef ref) {
  return program.buffers[static_cast<size_t>(ref.buffer)].dtype == DType::kBF16;
}

bool NeedsScratch(const Program& program, const Op& op) {
  return IsLinear(op.kind) && (IsNarrow(program, op.inputs[0]) || IsNarrow(program, op.outputs[0]));
}

}  // namespace

void AddLinearScratch(Program& program) {
  const ProgramInputs& in = program.inputs;
  const bool narrow_sums = in.trains && in.mix.accumulation_dtype == AccumulationDtype::kBf16;
  if (in.backend.kind != BackendKind::kCpu || in.double_precision) return;
  if (in.mix.precision != Precision::kBf16 && !narrow_sums) return;
  const Shape shape = Matrix(kLinearWorkerCount, kLinearWorkerElements);
  program.linear_scratch = AddBuffer(program, {.name = "linear_workspace",
                                               .dtype = DType::kF32,
                                               .dims = shape.dims,
                                               .rank = shape.rank,
                                               .region = Region::kResident,
                                               .memory_class = MemoryClass::kWorkspace});
}

void GiveLinearScratch(Program& program) {
  if (program.linear_scratch < 0) return;
  for (Block& block : program.blocks) {
    for (Op& op : block.ops) {
      if (NeedsScratch(program, op))
        op.outputs[static_cast<size_t>(op.output_count++)] = {.buffer = program.linear_scratch};
    }
  }
}

}  // namespace tunesmith::planner
