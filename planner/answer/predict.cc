#include "planner/answer/predict.h"

#include <algorithm>
#include <cmath>

#include "common/status_macros.h"
#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/model/model_tensors.h"
#include "planner/program/build_program.h"
#include "planner/program/checkpoint_bytes.h"
#include "planner/program/memory_plan.h"

namespace tunesmith::planner {
namespace {

// Until a calibration says better. CPU: binary, libraries and data of the trainer's process (measured: 15 MiB with little data). GPU: CUDA context and kernels (226 MiB on an L4, 501 MiB on an A100, measured by others with PyTorch) and the trainer's 64 MiB
// of library workspace and scratch.
constexpr int64_t kCpuProcessBytes = 64 * kMiB;
// Tables of the tokenizer, for each of its tokens: 430 bytes measured with a tokenizer.json (docs/benchmarks/accuracy.md), 960 with what a GGUF file says of 49,152 tokens.
constexpr int64_t kTokenizerTokenBytes = 640;
constexpr int64_t kGpuOutsideArenaBytes = 640 * kMiB;
// Host memory of a process that drives a GPU: CUDA's libraries and its own.
constexpr int64_t kGpuHostProcessBytes = 1 * kGiB;

// The trainer reads a tensor at a time as fp32, whatever the file holds, and converts it on its way to the device; it holds it twice where checkpoints
// have another order.
int64_t LoadStagingBytes(const ModelSpec& model) {
  int64_t most = 0;
  const auto visit = [&](const ModelTensor& tensor) {
    const int64_t copies = tensor.layout == TensorLayout::kPlain ? 1 : 2;
    most = std::max(most, copies * tensor.element_count());
  };
  ForEachTopTensor(model, visit);
  ForEachLayerTensor(model, visit);
  return most * SizeOf(DType::kF32);
}

// Weights, states and inputs, before the first step.
int64_t ResidentBytes(const Program& program) {
  int64_t bytes = 0;
  for (const Buffer& b : program.buffers) {
    if (b.region == Region::kResident && b.space == Space::kDevice)
      bytes += PlaceCount(b) * AlignedInstanceBytes(b);
  }
  return bytes;
}

MemoryPrediction MemoryOf(const Program& program, const DeviceMemoryBudget& budget) {
  MemoryPlan plan = MeasureMemory(program);
  const bool shared = program.inputs.backend.kind == BackendKind::kCpu;
  const int64_t host_bytes = plan.host_bytes();
  MemoryPrediction memory{
      .arena_bytes = plan.device_bytes(),
      .outside_arena_bytes = budget.outside_arena_bytes,
      .total_bytes = plan.device_bytes() + budget.outside_arena_bytes + (shared ? host_bytes : 0),
      .budget_bytes = budget.budget_bytes,
      .class_bytes = plan.class_bytes,
      .binding_instant = std::move(plan.binding_instant),
      .pinned_bytes = shared ? 0 : host_bytes,
      .host_bytes = shared ? 0 : host_bytes + budget.host_outside_bytes,
      .pinned_budget_bytes = budget.pinned_budget_bytes,
      .host_budget_bytes = budget.host_budget_bytes};
  memory.instants.push_back({.name = "load", .bytes = ResidentBytes(program)});
  for (InstantBytes& instant : plan.instants) memory.instants.push_back(std::move(instant));
  return memory;
}

double Seconds(int64_t picoseconds) { return static_cast<double>(picoseconds) * 1e-12; }

// Of the predicted time: the ends of its 90 % interval.
struct TimeFactors {
  double low = 1;
  double high = 1;
};
TimeFactors IntervalOf(const PriceTable& prices, bool cpu) {
  if (cpu && !prices.calibrated())
    return {.low = 1 / kUnprobedCpuFactor, .high = kUnprobedCpuFactor};
  const double error =
      prices.calibrated() ? prices.calibration().relative_error : kDatasheetRelativeError;
  return {.low = std::max(0.0, 1 - error), .high = 1 + error};
}

TimePrediction TimeOf(const Program& program, const Question& question, const PriceTable& prices) {
  const StepPrice price = PriceStep(program, prices);
  const bool cpu = question.devices.hardware.compute_capability == 0;
  TimePrediction time{.step_picoseconds = price.step_picoseconds,
                      .step_seconds = Seconds(price.step_picoseconds)};
  const TimeFactors factors = IntervalOf(prices, cpu);
  time.low_seconds = time.step_seconds * factors.low;
  time.high_seconds = time.step_seconds * factors.high;
  time.compute_seconds = Seconds(price.compute_picoseconds);
  time.copy_seconds = Seconds(price.copy_picoseconds);
  time.exposed_copy_seconds = Seconds(price.exposed_copy_picoseconds);
  time.communication_seconds = Seconds(price.communication_picoseconds);
  time.exposed_communication_seconds = Seconds(price.exposed_communication_picoseconds);
  const Workload& w = question.workload;
  const RowStatistics& rows = prices.rows();
  const double step_token_count =
      static_cast<double>(w.rows_per_step * w.context) * rows.filled_share;
  time.tokens_per_second = step_token_count / time.step_seconds;
  if (const double rate = prices.calibration().checkpoint_bytes_per_second; rate > 0)
    time.save_seconds = static_cast<double>(CheckpointBytes(program)) / rate;
  const double token_count =
      static_cast<double>(w.dataset_token_count) * rows.kept_share * w.epoch_count;
  const double step_count = std::ceil(token_count / step_token_count);
  if (step_count > 0)
    time.total_hours = (step_count * time.step_seconds + time.save_seconds) / 3600;
  // Rates of a processor are its host's own; those of a GPU are told of all of its kind.
  const Evidence measured = cpu ? Evidence::kMeasuredHere : Evidence::kMeasuredOnKind;
  time.evidence = prices.calibrated() ? measured : Evidence::kDatasheet;
  return time;
}

}  // namespace

DeviceMemoryBudget BudgetOf(const Question& question) {
  const Hardware& h = question.devices.hardware;
  const bool gpu = h.compute_capability > 0;
  const int64_t staging = LoadStagingBytes(question.model),
                measured = question.calibration.outside_arena_bytes,
                assumed = gpu ? kGpuOutsideArenaBytes : kCpuProcessBytes,
                process = measured > 0 ? measured : assumed,
                tokenizer = kTokenizerTokenBytes * question.model.vocab_size;
  return {.budget_bytes =
              question.memory_budget_bytes > 0 ? question.memory_budget_bytes : h.memory_bytes,
          .outside_arena_bytes = gpu ? process : process + tokenizer + staging,
          .pinned_budget_bytes = question.pinned_memory_budget_bytes,
          .host_budget_bytes = question.host_memory_budget_bytes,
          .host_outside_bytes = kGpuHostProcessBytes + staging};
}

absl::StatusOr<Prediction> Predict(const Question& question, const Mix& mix,
                                   const PriceTable& prices, const DeviceMemoryBudget& budget) {
  TUNESMITH_ASSIGN_OR_RETURN(const Program program, BuildProgram(InputsFor(question, mix)));
  Prediction p{.mix = mix};
  p.memory = MemoryOf(program, budget);
  p.fits = ShortagesOf(p.memory).empty();
  p.time = TimeOf(program, question, prices);
  p.program_digest = ProgramDigest(program);
  return p;
}

}  // namespace tunesmith::planner
