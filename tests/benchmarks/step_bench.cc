// Where the time of a plan's step goes on this host's CPU, and how quick it could be if there were nothing in it but matrix products.
//
//   tunesmith-bench-step --plan FILE [--threads N] [--steps N]
//
// Every distinct matrix product of the plan's step program runs alone, with operands of its own: the sum of the median times over the step is the
// bound, and that of the best times the least that it can be. Then whole steps run, with random weights and tokens. The tables on stderr give each
// product's time alone and in the steps, and each op's part (the executor waits for each op there, so the parts add up to a little more than a
// step). The last line of stdout is one JSON object.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "common/median.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "nlohmann/json.hpp"
#include "planner/answer/candidates.h"
#include "planner/price/op_cost.h"
#include "planner/program/build_program.h"
#include "profiler/fill_with_data.h"
#include "proto/convert/plan.h"
#include "tests/benchmarks/flags.h"
#include "tests/benchmarks/op_case.h"
#include "trainer/executor.h"
#include "trainer/open_device.h"
#include "trainer/ops/run_op.h"

namespace tunesmith::trainer {
namespace {

using Json = nlohmann::ordered_json;
using planner::OpKind;
using planner::Program;

// With one thread its own processor time, which other processes do not take from.
clockid_t clock_id = CLOCK_MONOTONIC;

double Now() {
  timespec time;
  clock_gettime(clock_id, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

template <typename Visit>
void ForEachOpOfStep(const Program& program, Visit visit) {
  for (const planner::Segment& segment : program.segments) {
    for (const planner::BlockRun& run : segment.runs) {
      const int64_t count = segment.repeat_count * run.count;
      if (count == 0) continue;
      for (const planner::Op& op : program.blocks[static_cast<size_t>(run.block)].ops)
        visit(op, count);
    }
  }
}

struct Product {
  planner::Op op;  // one of its kind and shape
  int64_t count = 0;
  double flops = 0;  // of one
};

// What a product's time depends on.
std::string ProductName(const Program& program, const planner::Op& op) {
  const planner::GemmShape g = planner::GemmShapeOf(program, op);
  const bool in_place = op.input_count > 2 && op.inputs[2] == op.outputs[0];
  const char* form = op.attributes.accumulate ? " +=" : in_place ? " in place" : "";
  return StrCat(planner::OpKindName(op.kind), " ", g.m, "x", g.n, "x", g.k, form,
                op.input_count > 2 && !in_place ? " + addend" : "");
}

// The matrix products of one step, by name.
std::map<std::string, Product> ProductsOfStep(const Program& program) {
  std::map<std::string, Product> products;
  ForEachOpOfStep(program, [&](const planner::Op& op, int64_t count) {
    if (!planner::IsLinear(op.kind)) return;
    Product& product = products[ProductName(program, op)];
    product.op = op;
    product.count += count;
    product.flops = planner::CostOf(program, op, op.attributes.accumulate).flops;
  });
  return products;
}

// Of several runs of one product.
struct Times {
  double best = 0;
  double median = 0;
};

absl::StatusOr<Times> TimesAlone(const OpCase& op_case, const OpContext& context) {
  constexpr int kLeastRuns = 5, kMostRuns = 60;
  constexpr double kBudgetSeconds = 0.4;
  std::vector<double> seconds;
  TUNESMITH_RETURN_IF_ERROR(RunOp(context, op_case.call()));  // pages, caches
  const double end = Now() + kBudgetSeconds;
  while (seconds.size() < kLeastRuns || (Now() < end && seconds.size() < kMostRuns)) {
    const double start = Now();
    TUNESMITH_RETURN_IF_ERROR(RunOp(context, op_case.call()));
    seconds.push_back(Now() - start);
  }
  return Times{.best = *std::min_element(seconds.begin(), seconds.end()),
               .median = Median(seconds)};
}

struct Bound {
  double seconds = 0;
  double least_seconds = 0;
  double flops = 0;
  std::map<std::string, Times> alone;
};

absl::StatusOr<Bound> MeasureBound(const Program& program, const OpContext& context) {
  Bound bound;
  for (const auto& [name, product] : ProductsOfStep(program)) {
    TUNESMITH_ASSIGN_OR_RETURN(const OpCase op_case, OpCase::Create(program, product.op, context));
    TUNESMITH_ASSIGN_OR_RETURN(bound.alone[name], TimesAlone(op_case, context));
    const double count = static_cast<double>(product.count);
    bound.seconds += count * bound.alone[name].median;
    bound.least_seconds += count * bound.alone[name].best;
    bound.flops += count * product.flops;
  }
  return bound;
}

absl::StatusOr<double> StepSeconds(Executor& executor) {
  const double start = Now();
  for (const planner::Segment& segment : executor.program().segments) {
    for (int64_t i = 0; i < segment.repeat_count; ++i)
      TUNESMITH_RETURN_IF_ERROR(executor.Run(segment.kind));
  }
  return Now() - start;
}

class SecondsByOp : public OpObserver {
 public:
  explicit SecondsByOp(const Program& program) : program_(program) {}

  void OnOp(const planner::Op& op, const OpCall&, double seconds) override {
    by_kind_[op.kind] += seconds;
    if (planner::IsLinear(op.kind)) by_product_[ProductName(program_, op)].push_back(seconds);
  }
  const std::map<OpKind, double>& by_kind() const { return by_kind_; }
  // Median of one product's runs; 0 when there were none.
  double InStep(const std::string& product) const {
    const auto found = by_product_.find(product);
    return found == by_product_.end() ? 0 : Median(found->second);
  }

 private:
  const Program& program_;
  std::map<OpKind, double> by_kind_;
  std::map<std::string, std::vector<double>> by_product_;
};

void PrintProducts(const Program& program, const Bound& bound, const SecondsByOp* steps) {
  std::fprintf(stderr, "%-52s %6s %9s %8s %8s %9s\n", "product", "runs", "alone ms", "s", "GFLOP/s",
               "in a step");
  for (const auto& [name, product] : ProductsOfStep(program)) {
    const double alone = bound.alone.at(name).median, count = static_cast<double>(product.count);
    std::fprintf(stderr, "%-52s %6.0f %9.3f %8.3f %8.1f", name.c_str(), count, alone * 1e3,
                 count * alone, product.flops / alone * 1e-9);
    if (steps != nullptr) std::fprintf(stderr, " %8.2fx", steps->InStep(name) / alone);
    std::fputc('\n', stderr);
  }
}

absl::StatusOr<double> MeasureSteps(Executor& executor, int step_count) {
  TUNESMITH_RETURN_IF_ERROR(StepSeconds(executor).status());  // pages, caches
  std::vector<double> steps;
  for (int i = 0; i < step_count; ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(const double seconds, StepSeconds(executor));
    steps.push_back(seconds);
  }
  return Median(steps);
}

absl::StatusOr<Json> MeasureOps(Executor& executor, const Bound& bound, int step_count) {
  SecondsByOp by_op(executor.program());
  executor.set_observer(&by_op);
  for (int i = 0; i < step_count; ++i) TUNESMITH_RETURN_IF_ERROR(StepSeconds(executor).status());
  executor.set_observer(nullptr);
  PrintProducts(executor.program(), bound, &by_op);
  Json ops = Json::object();
  for (const auto& [kind, seconds] : by_op.by_kind()) {
    const std::string name(planner::OpKindName(kind));
    ops[name] = seconds / step_count;
    std::fprintf(stderr, "%-28s %8.3f s\n", name.c_str(), seconds / step_count);
  }
  return ops;
}

struct Options {
  std::string plan;
  int64_t threads = static_cast<int64_t>(std::thread::hardware_concurrency());
  int steps = 3;
};

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  TUNESMITH_RETURN_IF_ERROR(ReadFlags(
      arguments,
      {{"--plan", &options.plan}, {"--threads", &options.threads}, {"--steps", &options.steps}}));
  if (options.plan.empty()) return absl::InvalidArgumentError("--plan FILE is missing");
  if (options.threads < 1 || options.steps < 0)
    return absl::InvalidArgumentError(StrCat("--threads ", options.threads, " --steps ",
                                             options.steps, ": at least 1 thread and 0 steps"));
  return options;
}

absl::StatusOr<Json> Benchmark(const Options& options) {
  TUNESMITH_ASSIGN_OR_RETURN(const convert::Plan plan, convert::ReadPlanFile(options.plan));
  TUNESMITH_ASSIGN_OR_RETURN(Program program, planner::BuildProgram(planner::InputsFor(
                                                  plan.question, plan.prediction.mix)));
  if (options.threads == 1) clock_id = CLOCK_THREAD_CPUTIME_ID;
  TUNESMITH_ASSIGN_OR_RETURN(const OpenDevice device, OpenDevice::Open("cpu", options.threads));
  TUNESMITH_ASSIGN_OR_RETURN(const Bound bound, MeasureBound(program, device.context()));
  Json result = {{"mix", planner::FormatMix(plan.prediction.mix)},
                 {"threads", options.threads},
                 {"product_flops", bound.flops},
                 {"bound_seconds", bound.seconds},
                 {"least_bound_seconds", bound.least_seconds}};
  if (options.steps == 0) {
    PrintProducts(program, bound, nullptr);
    return result;
  }
  TUNESMITH_ASSIGN_OR_RETURN(const auto executor,
                             Executor::Create(std::move(program), device.context(), {}));
  TUNESMITH_RETURN_IF_ERROR(profiler::FillWithData(*executor));
  TUNESMITH_ASSIGN_OR_RETURN(result["step_seconds"], MeasureSteps(*executor, options.steps));
  TUNESMITH_ASSIGN_OR_RETURN(result["op_seconds"], MeasureOps(*executor, bound, options.steps));
  return result;
}

absl::Status Main(const std::vector<std::string>& arguments) {
  TUNESMITH_ASSIGN_OR_RETURN(const Options options, ParseOptions(arguments));
  TUNESMITH_ASSIGN_OR_RETURN(const Json result, Benchmark(options));
  std::printf("%s\n", result.dump().c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace tunesmith::trainer

int main(int argc, char** argv) {
  const absl::Status status =
      tunesmith::trainer::Main(std::vector<std::string>(argv + 1, argv + argc));
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "tunesmith-bench-step: %s\n", std::string(status.message()).c_str());
  return EXIT_FAILURE;
}
