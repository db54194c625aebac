// Times every distinct op of a model's step program alone on a device, with random operands that are not in its L2 cache: on a GPU an op runs on several sets of
// operands in turn, more bytes than the cache holds, launched as one CUDA graph, and a set's time is its share; on a CPU something else is written before.
//
//   tunesmith-bench-ops [--device cpu|cuda:N] [--model NAME] [--mix MIX] [--context N] [--threads N] [--seconds S] [--out FILE]
//   tunesmith-bench-ops --compare attention --device cuda:N [--seconds S] [--out FILE]
//
// The second form times the project's own flash attention beside cuDNN's instead (attention_engines.h).
// Products run by the algorithms that a step would run them by, measured first. Prints a table to stderr and, as the last line of stdout, one JSON object; --out writes the object to
// a file as well, anew after every row, so that what was measured is there when the run is cut off. Two ceilings are measured first, a large copy and a large matrix product; "of ceiling" is
// the time that the op's bytes or its flops (whichever take longer) would take at those rates, over its time. Ops that fail are listed, with the reason, under "failed". Exit status 1, with
// the reason, where the device is not usable or an op fails.
#include "tests/benchmarks/ops_bench.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "nlohmann/json.hpp"
#include "planner/model/catalog.h"
#include "planner/model/mix.h"
#include "planner/program/build_program.h"
#include "planner/program/gemm_shape.h"
#include "tests/benchmarks/attention_engines.h"
#include "tests/benchmarks/flags.h"
#include "tests/benchmarks/op_case.h"
#include "tests/benchmarks/stopwatch.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/cuda/cuda_graph.h"
#include "trainer/ops/run_op.h"
#include "trainer/thread_pool.h"

namespace tunesmith::trainer {
namespace {

using Json = nlohmann::ordered_json;

struct Device {
  std::string name;
  std::unique_ptr<ThreadPool> threads;
  std::unique_ptr<CudaContext> cuda;
  OpContext context;
};

absl::StatusOr<Device> OpenDevice(const std::string& text, int thread_count) {
  Device device;
  if (text == "cpu") {
    device.name = StrCat("cpu, ", thread_count, " threads");
    device.threads = std::make_unique<ThreadPool>(thread_count);
    device.context = {.device = planner::BackendKind::kCpu, .threads = device.threads.get()};
    return device;
  }
  int index = 0;
  if (text.rfind("cuda:", 0) != 0 || !absl::SimpleAtoi(text.substr(5), &index)) {
    return absl::InvalidArgumentError(StrCat("--device ", text, ": expected cpu or cuda:N"));
  }
  TUNESMITH_ASSIGN_OR_RETURN(device.cuda, CudaContext::Create({.device = index}));
  device.name = device.cuda->info().name;
  device.context = {.device = planner::BackendKind::kCuda, .cuda = device.cuda.get()};
  return device;
}

struct Ceilings {
  double bytes_per_second = 0;
  double flops_per_second = 0;
};

planner::Buffer Matrix(int64_t rows, int64_t columns, DType dtype) {
  return {.dtype = dtype, .dims = {rows, columns, 1}, .rank = 2};
}

planner::Op OpOf(planner::OpKind kind, int input_count) {
  planner::Op op{.kind = kind, .input_count = static_cast<int8_t>(input_count), .output_count = 1};
  for (int i = 0; i < input_count; ++i) op.inputs[static_cast<size_t>(i)] = {.buffer = i};
  op.outputs[0] = {.buffer = input_count};
  return op;
}

// So many bytes of operands take turns on a GPU: several times the L2 cache of any device of the catalog.
constexpr int64_t kRotatedBytes = 512 * kMiB;

absl::StatusOr<OpCase> CaseOf(const planner::Program& program, const planner::Op& op,
                              const OpContext& context) {
  return OpCase::Create(program, op, context, context.cuda == nullptr ? 0 : kRotatedBytes);
}

// As the executor does before the first step.
absl::Status TuneProduct(const OpContext& context, const OpCase& op_case) {
  if (!planner::IsLinear(op_case.call().kind)) return absl::OkStatus();
  return context.cuda->TuneProducts([&] { return RunOp(context, op_case.call()); });
}

// Of one call.
absl::StatusOr<double> Measure(const OpContext& context, Stopwatch& watch, const OpCase& op_case) {
  if (context.cuda == nullptr) return watch.Measure([&] { return RunOp(context, op_case.call()); });
  const auto run_all = [&]() -> absl::Status {
    for (int64_t set = 0; set < op_case.set_count(); ++set) {
      TUNESMITH_RETURN_IF_ERROR(RunOp(context, op_case.call(set)));
    }
    return absl::OkStatus();
  };
  TUNESMITH_RETURN_IF_ERROR(TuneProduct(context, op_case));
  // Before they are captured: kernels are loaded.
  TUNESMITH_RETURN_IF_ERROR(run_all());
  TUNESMITH_RETURN_IF_ERROR(context.cuda->Synchronize());
  TUNESMITH_ASSIGN_OR_RETURN(const auto graph, CudaGraph::Capture(*context.cuda, run_all));
  TUNESMITH_ASSIGN_OR_RETURN(const double seconds,
                             watch.MeasureRepeated([&] { return graph->Launch(*context.cuda); }));
  return seconds / static_cast<double>(op_case.set_count());
}

absl::StatusOr<Ceilings> MeasureCeilings(const OpContext& context, Stopwatch& watch, DType dtype) {
  const bool on_cuda = context.device == planner::BackendKind::kCuda;
  const int64_t size = on_cuda ? 8192 : 1024;
  const int64_t copy_rows = (on_cuda ? kGiB : 256 * kMiB) / 4096 / SizeOf(dtype);
  planner::Program program;
  program.buffers = {Matrix(copy_rows, 4096, dtype), Matrix(copy_rows, 4096, dtype)};
  TUNESMITH_ASSIGN_OR_RETURN(const OpCase copy,
                             CaseOf(program, OpOf(planner::OpKind::kCopy, 1), context));
  TUNESMITH_ASSIGN_OR_RETURN(const double copy_seconds, Measure(context, watch, copy));
  program.buffers.assign(3, Matrix(size, size, dtype));
  TUNESMITH_ASSIGN_OR_RETURN(const OpCase product,
                             CaseOf(program, OpOf(planner::OpKind::kLinear, 2), context));
  TUNESMITH_ASSIGN_OR_RETURN(const double product_seconds, Measure(context, watch, product));
  return Ceilings{.bytes_per_second = copy.cost().bytes / copy_seconds,
                  .flops_per_second = product.cost().flops / product_seconds};
}

Json Row(const OpCase& op_case, double seconds, const Ceilings& ceilings) {
  const planner::OpCost& cost = op_case.cost();
  const double floor_seconds =
      std::max(cost.bytes / ceilings.bytes_per_second, cost.flops / ceilings.flops_per_second);
  return {{"op", planner::OpKindName(op_case.call().kind)},
          {"shapes", op_case.ShapeText()},
          {"sets", op_case.set_count()},
          {"median_seconds", seconds},
          {"bytes", cost.bytes},
          {"flops", cost.flops},
          {"bytes_per_second", cost.bytes / seconds},
          {"flops_per_second", cost.flops / seconds},
          {"of_ceiling", floor_seconds / seconds}};
}

void PrintRow(const Json& row) {
  std::fprintf(stderr, "%-26s %10.1f us %8.1f GB/s %8.2f TFLOP/s %5.1f %%  %s\n",
               row["op"].get<std::string>().c_str(), row["median_seconds"].get<double>() * 1e6,
               row["bytes_per_second"].get<double>() * 1e-9,
               row["flops_per_second"].get<double>() * 1e-12, row["of_ceiling"].get<double>() * 100,
               row["shapes"].get<std::string>().c_str());
}

struct Options {
  std::string device = "cpu";
  std::string model = "SmolLM2-135M";
  std::string mix = "method=full loss=chunked";
  std::string out;
  std::string compare;  // "attention", or empty: ops are timed
  int64_t context = 1024;
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  double seconds = 0.2;
};

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  TUNESMITH_RETURN_IF_ERROR(ReadFlags(arguments, {{"--device", &options.device},
                                                  {"--model", &options.model},
                                                  {"--mix", &options.mix},
                                                  {"--out", &options.out},
                                                  {"--compare", &options.compare},
                                                  {"--context", &options.context},
                                                  {"--threads", &options.threads},
                                                  {"--seconds", &options.seconds}}));
  if (!options.compare.empty() && options.compare != "attention")
    return absl::InvalidArgumentError(
        StrCat("--compare ", options.compare, ": expected attention"));
  if (options.threads < 1)
    return absl::InvalidArgumentError(StrCat("--threads ", options.threads, ": below 1"));
  return options;
}

absl::StatusOr<planner::Program> ProgramOf(const Options& options, const OpContext& context) {
  TUNESMITH_ASSIGN_OR_RETURN(const planner::ModelSpec model, planner::FindModel(options.model));
  TUNESMITH_ASSIGN_OR_RETURN(planner::Mix mix, planner::ParseMix(options.mix));
  if (mix.recompute == decltype(mix.recompute){}) mix.recompute[0] = model.layer_count;
  const planner::Workload workload = {
      .context = options.context,
      .rows_per_step = mix.micro_batch * mix.accumulation_count * mix.data_parallel};
  TUNESMITH_RETURN_IF_ERROR(planner::ValidateMix(mix, model.layer_count));
  TUNESMITH_RETURN_IF_ERROR(planner::ValidateWorkload(workload, model));
  return planner::BuildProgram(
      {.model = model, .workload = workload, .mix = mix, .backend = BackendOf(context)});
}

// One of each kind, shapes and attributes.
std::vector<planner::Op> DistinctOps(const planner::Program& program) {
  std::vector<planner::Op> ops;
  std::set<std::string> seen;
  for (const planner::Block& block : program.blocks) {
    for (const planner::Op& op : block.ops) {
      std::string key =
          StrCat(planner::OpKindName(op.kind), op.attributes.accumulate, op.attributes.head_count);
      const auto add = [&](planner::BufferRef ref) {
        const planner::Buffer& b = program.buffers[static_cast<size_t>(ref.buffer)];
        key += StrCat(" ", b.dims[0], ",", b.dims[1], ",", b.dims[2], DTypeName(b.dtype));
      };
      for (int i = 0; i < op.input_count; ++i) add(op.inputs[static_cast<size_t>(i)]);
      for (int i = 0; i < op.output_count; ++i) add(op.outputs[static_cast<size_t>(i)]);
      if (seen.insert(key).second) ops.push_back(op);
    }
  }
  return ops;
}

// To --out, where it is given.
absl::Status Keep(const Options& options, const Json& result) {
  if (options.out.empty()) return absl::OkStatus();
  return WriteFileAtomically(options.out, result.dump());
}

absl::StatusOr<Json> MeasuredRow(const planner::Program& program, const planner::Op& op,
                                 const OpContext& context, Stopwatch& watch,
                                 const Ceilings& ceilings) {
  TUNESMITH_ASSIGN_OR_RETURN(const OpCase op_case, CaseOf(program, op, context));
  TUNESMITH_ASSIGN_OR_RETURN(const double seconds, Measure(context, watch, op_case));
  return Row(op_case, seconds, ceilings);
}

// An op that fails is no reason to lose the others.
void AddRow(const planner::Op& op, const absl::StatusOr<Json>& row, Json& result) {
  if (row.ok()) {
    PrintRow(*row);
    result["ops"].push_back(*row);
    return;
  }
  const std::string name(planner::OpKindName(op.kind)), why(row.status().message());
  std::fprintf(stderr, "%-26s failed: %s\n", name.c_str(), why.c_str());
  result["failed"].push_back({{"op", name}, {"why", why}});
}

absl::StatusOr<Json> Benchmark(const Options& options) {
  TUNESMITH_ASSIGN_OR_RETURN(const Device device, OpenDevice(options.device, options.threads));
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Program program, ProgramOf(options, device.context));
  TUNESMITH_ASSIGN_OR_RETURN(Stopwatch watch, Stopwatch::Create(device.context, options.seconds));
  const DType dtype =
      program.inputs.mix.precision == planner::Precision::kBf16 ? DType::kBF16 : DType::kF32;
  TUNESMITH_ASSIGN_OR_RETURN(const Ceilings ceilings,
                             MeasureCeilings(device.context, watch, dtype));
  std::fprintf(stderr, "%s: copy %.1f GB/s, product %.2f TFLOP/s\n", device.name.c_str(),
               ceilings.bytes_per_second * 1e-9, ceilings.flops_per_second * 1e-12);
  Json result = {{"device", device.name},
                 {"model", options.model},
                 {"mix", planner::FormatMix(program.inputs.mix)},
                 {"context", options.context},
                 {"copy_bytes_per_second", ceilings.bytes_per_second},
                 {"product_flops_per_second", ceilings.flops_per_second},
                 {"ops", Json::array()},
                 {"failed", Json::array()}};
  for (const planner::Op& op : DistinctOps(program)) {
    AddRow(op, MeasuredRow(program, op, device.context, watch, ceilings), result);
    TUNESMITH_RETURN_IF_ERROR(Keep(options, result));
  }
  return result;
}

absl::StatusOr<Json> CompareAttention(const Options& options) {
  TUNESMITH_ASSIGN_OR_RETURN(const Device device, OpenDevice(options.device, options.threads));
  TUNESMITH_ASSIGN_OR_RETURN(Stopwatch watch, Stopwatch::Create(device.context, options.seconds));
  Json result = {{"device", device.name}, {"attention_engines", Json::array()}};
  TUNESMITH_RETURN_IF_ERROR(CompareAttentionEngines(device.context, watch, [&](const Json& row) {
    result["attention_engines"].push_back(row);
    return Keep(options, result);
  }));
  return result;
}

absl::Status StatusOf(const Json& result) {
  const Json failed = result.value("failed", Json::array());
  if (failed.empty()) return absl::OkStatus();
  return absl::InternalError(StrCat(failed.size(), " ops failed, ",
                                    failed[0]["op"].get<std::string>(),
                                    " first: ", failed[0]["why"].get<std::string>()));
}

absl::Status Main(const std::vector<std::string>& arguments) {
  TUNESMITH_ASSIGN_OR_RETURN(const Options options, ParseOptions(arguments));
  TUNESMITH_ASSIGN_OR_RETURN(
      const Json result, options.compare.empty() ? Benchmark(options) : CompareAttention(options));
  std::printf("%s\n", result.dump().c_str());
  TUNESMITH_RETURN_IF_ERROR(Keep(options, result));
  return StatusOf(result);
}

}  // namespace

int OpsBenchMain(const std::vector<std::string>& arguments) {
  const absl::Status status = Main(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "tunesmith-bench-ops: %s\n", std::string(status.message()).c_str());
  return EXIT_FAILURE;
}

}  // namespace tunesmith::trainer
