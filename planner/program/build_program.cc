#include "planner/program/build_program.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "planner/model/size_limits.h"
#include "planner/program/add_buffer.h"
#include "planner/program/buckets.h"
#include "planner/program/cudnn_attention.h"
#include "planner/program/decoder_layer.h"
#include "planner/program/layer_parameters.h"
#include "planner/program/linear_scratch.h"
#include "planner/program/optimizer_segment.h"
#include "planner/program/token_slice.h"
#include "planner/program/training_segments.h"

namespace tunesmith::planner {
namespace {

int32_t AddInput(Program& program, Name name, DType dtype, int64_t count,
                 Space space = Space::kDevice) {
  return AddBuffer(program, {.name = name,
                             .dtype = dtype,
                             .dims = {count, 1, 1},
                             .rank = 1,
                             .region = Region::kResident,
                             .memory_class = MemoryClass::kInputs,
                             .space = space});
}

// What the host's updates read.
void AddHostCopies(Program& program) {
  HostBuffers& h = program.host;
  const auto add = [&](Name name, DType dtype, int64_t count) {
    return AddInput(program, name, dtype, count, Space::kHost);
  };
  h.host_step_scalars = add("host_step_scalars", DType::kF32, kStepScalarCount);
  h.host_step_key = add("host_step_key", DType::kU64, 1);
  h.host_clip_factor = add("host_clip_factor", DType::kF32, 1);
  if (OffloadsWeights(program.inputs))
    h.host_square_sum = add("host_gradient_square_sum", DType::kF64, 1);
}

void AddHostBuffers(Program& program) {
  const Workload& workload = program.inputs.workload;
  const Mix& mix = program.inputs.mix;
  const int64_t rows = SliceTokenCount(mix, workload),
                loss_rows = SliceLossTokenCount(mix, workload);
  HostBuffers& h = program.host;
  h.tokens = AddInput(program, "tokens", DType::kI32, rows);
  h.labels = AddInput(program, "labels", DType::kI32, loss_rows);
  if (loss_rows < rows) h.loss_rows = AddInput(program, "loss_rows", DType::kI32, loss_rows);
  h.positions = AddInput(program, "positions", DType::kI32, rows);
  h.document_starts =
      AddInput(program, "document_starts", DType::kI32, mix.micro_batch * workload.context);
  h.loss_scale = AddInput(program, "loss_scale", DType::kF32, 1);
  h.step_scalars = AddInput(program, "step_scalars", DType::kF32, kStepScalarCount);
  h.step_key = AddInput(program, "step_key", DType::kU64, 1);
  if (program.inputs.trains && mix.method == Method::kLora && mix.lora.dropout > 0)
    h.dropout_key = AddInput(program, "dropout_key", DType::kU64, 2);
  h.loss_sum = AddInput(program, "loss_sum", DType::kF64, 1);
  h.gradient_norm = AddInput(program, "gradient_norm", DType::kF32, 1);
  if (OffloadsStates(program.inputs)) AddHostCopies(program);
  if (!workload.generates) return;
  h.generate_token = AddInput(program, "generate_token", DType::kI32, 1);
  h.generate_position = AddInput(program, "generate_position", DType::kI32, 1);
  h.generated_token = AddInput(program, "generated_token", DType::kI32, 1);
}

// A local has an address for every run index of its block.
void CountLocals(Program& program) {
  for (const Segment& segment : program.segments) {
    for (const BlockRun& run : segment.runs) {
      for (int32_t local : program.blocks[static_cast<size_t>(run.block)].locals) {
        Buffer& b = program.buffers[static_cast<size_t>(local)];
        b.first_instance = run.step > 0 ? run.first : run.first - run.count + 1;
        b.instance_count = run.count;
      }
    }
  }
}

// And so has a view of one.
void CountViews(Program& program) {
  for (Buffer& b : program.buffers) {
    if (b.region != Region::kView) continue;
    const Buffer& whole = program.buffers[static_cast<size_t>(b.view_of)];
    if (whole.region != Region::kLocal) continue;
    b.first_instance = whole.first_instance;
    b.instance_count = whole.instance_count;
  }
}

// Axis values that mixes can spell but programs are not built with yet: refused rather than priced as something else.
absl::Status CheckBuilt(const ProgramInputs& inputs) {
  const Mix& m = inputs.mix;
  const bool cpu = inputs.backend.kind == BackendKind::kCpu;
  const auto refuse = [](const char* what) {
    return absl::UnimplementedError(
        absl::StrCat(what, " is not built yet; leave it out of the mix"));
  };
  if (cpu && m.precision == Precision::kBf16 && m.attention == AttentionKernel::kEager)
    return refuse("attention=eager beside precision=bf16 on a CPU");
  if (!cpu && m.precision == Precision::kFp32 && m.accumulation_dtype == AccumulationDtype::kBf16)
    return refuse("accumulation=bf16 beside precision=fp32 on a GPU");
  return absl::OkStatus();
}

absl::Status CheckAttention(const ProgramInputs& inputs) {
  const Mix& m = inputs.mix;
  if (m.attention == AttentionKernel::kCudnn) {
    if (inputs.backend.kind == BackendKind::kCpu)
      return absl::InvalidArgumentError(
          "attention=cudnn runs on NVIDIA GPUs; use attention=flash on a CPU");
    const absl::Status takes =
        CheckCudnnTakes(AttentionAttributes(inputs, m.sequence_parallel), DType::kBF16,
                        m.micro_batch, inputs.backend.compute_capability);
    if (takes.ok()) return takes;
    return absl::InvalidArgumentError(
        absl::StrCat("attention=cudnn: ", takes.message(), "; use attention=flash"));
  }
  const Workload& w = inputs.workload;
  const double scores = MostScoreBytes(inputs.model, SliceTokenCount(m, w), w.context);
  if (m.attention != AttentionKernel::kEager || scores <= kLargestBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "attention=eager: the scores of micro_batch(", m.micro_batch, ") x context(", w.context,
      ") tokens may take ", scores, " bytes, must be at most ", kLargestBytes));
}

absl::Status CheckInputs(const ProgramInputs& inputs) {
  const Workload& w = inputs.workload;
  const Mix& m = inputs.mix;
  TUNESMITH_RETURN_IF_ERROR(ValidateWorkload(w, inputs.model));
  if (m.micro_batch * m.accumulation_count * m.data_parallel != w.rows_per_step) {
    return absl::InvalidArgumentError(absl::StrCat(
        "batch: micro_batch(", m.micro_batch, ") x accumulation(", m.accumulation_count,
        ") x data_parallel(", m.data_parallel, ") != rows per step(", w.rows_per_step, ")"));
  }
  TUNESMITH_RETURN_IF_ERROR(CheckTokenSlices(inputs.model, w, m));
  if (m.method == Method::kQlora && !CanQuantize(inputs.model))
    return absl::InvalidArgumentError(
        "method=qlora: hidden_size, intermediate_size and heads x head_size must be even numbers, "
        "as two 4-bit elements of a row share a byte; use method=lora");
  return CheckAttention(inputs);
}

absl::StatusOr<Program> Build(const ProgramInputs& inputs, bool layers) {
  TUNESMITH_RETURN_IF_ERROR(ValidateModelSpec(inputs.model));
  TUNESMITH_RETURN_IF_ERROR(ValidateMix(inputs.mix, inputs.model.layer_count));
  if (inputs.mix.method == Method::kLora)
    TUNESMITH_RETURN_IF_ERROR(CheckTargets(inputs.model, inputs.mix.lora));
  TUNESMITH_RETURN_IF_ERROR(CheckInputs(inputs));
  TUNESMITH_RETURN_IF_ERROR(CheckBuilt(inputs));
  ModelParameters parameters;
  Program program = StartProgram(inputs, parameters);
  if (inputs.trains) {
    AddTrainingSegments(program, parameters, layers);
    AddOptimizerSegment(program,
                        {.square_sum = AddInput(program, "gradient_square_sum", DType::kF64, 1),
                         .clip_factor = AddInput(program, "clip_factor", DType::kF32, 1)});
    AddSaveSegment(program);
  }
  if (inputs.workload.evaluates) AddEvaluateSegment(program, parameters);
  if (inputs.workload.generates) AddGenerateSegment(program, parameters);
  GiveLinearScratch(program);
  CountLocals(program);
  CountViews(program);
  return program;
}

}  // namespace

absl::StatusOr<Program> BuildProgram(const ProgramInputs& inputs) {
  return Build(inputs, /*layers=*/true);
}

absl::StatusOr<Program> BuildFrame(const ProgramInputs& inputs) {
  return Build(inputs, /*layers=*/false);
}

Program StartProgram(const ProgramInputs& inputs, ModelParameters& parameters) {
  Program program{.inputs = inputs};
  program.buffers.reserve(640);
  program.blocks.reserve(32);
  parameters = AddParameters(program);
  AddHostBuffers(program);
  AddLinearScratch(program);
  return program;
}

}  // namespace tunesmith::planner
