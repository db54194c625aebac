// Where the time of a plan's step goes on this host's CPU, and how quick it could be if there were nothing in it but matrix products.
//
//   tunesmith-bench-step --plan FILE [--threads N] [--steps N]
//
// Every distinct matrix product of the plan's step program runs alone, with operands of its own: the sum of the best times over the step is the
// bound. Then whole steps run, with random weights and tokens. The table on stderr gives each op's part in the last steps (the executor waits
// for each op there, so the parts add up to a little more than a step). The last line of stdout is one JSON object.
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

#include "absl/strings/numbers.h"
#include "common/median.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "nlohmann/json.hpp"
#include "planner/answer/candidates.h"
#include "planner/price/op_cost.h"
#include "planner/program/build_program.h"
#include "profiler/fill_with_data.h"
#include "proto/convert/plan.h"
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

// The matrix products of one step, by what their time depends on.
std::map<std::string, Product> ProductsOfStep(const Program& program) {
  std::map<std::string, Product> products;
  ForEachOpOfStep(program, [&](const planner::Op& op, int64_t count) {
    if (!planner::IsLinear(op.kind)) return;
    const planner::GemmShape g = planner::GemmShapeOf(program, op);
    const bool in_place = op.input_count > 2 && op.inputs[2] == op.outputs[0];
    const char* form = op.attributes.accumulate ? " +=" : in_place ? " in place" : "";
    Product& product = products[StrCat(planner::OpKindName(op.kind), " ", g.m, "x", g.n, "x", g.k,
                                       form, op.input_count > 2 && !in_place ? " + addend" : "")];
    product.op = op;
    product.count += count;
    product.flops = planner::CostOf(program, op, op.attributes.accumulate).flops;
  });
  return products;
}

// Seconds of the quickest of several runs: what other processes take is not the product's.
absl::StatusOr<double> BestSeconds(const OpCase& op_case, const OpContext& context) {
  constexpr int kLeastRuns = 5, kMostRuns = 60;
  constexpr double kBudgetSeconds = 0.4;
  double best = 1e9, total = 0;
  for (int run = 0; run < kLeastRuns || (total < kBudgetSeconds && run < kMostRuns); ++run) {
    const double start = Now();
    TUNESMITH_RETURN_IF_ERROR(RunOp(context, op_case.call()));
    const double seconds = Now() - start;
    best = std::min(best, seconds);
    total += seconds;
  }
  return best;
}

struct Bound {
  double seconds = 0;
  double flops = 0;
};

absl::StatusOr<Bound> MeasureBound(const Program& program, const OpContext& context) {
  Bound bound;
  for (const auto& [name, product] : ProductsOfStep(program)) {
    TUNESMITH_ASSIGN_OR_RETURN(const OpCase op_case, OpCase::Create(program, product.op, context));
    TUNESMITH_ASSIGN_OR_RETURN(const double seconds, BestSeconds(op_case, context));
    const double count = static_cast<double>(product.count);
    bound.seconds += count * seconds;
    bound.flops += count * product.flops;
    std::fprintf(stderr, "%-58s %6.0f x %9.3f ms = %7.3f s  %6.1f GFLOP/s\n", name.c_str(), count,
                 seconds * 1e3, count * seconds, product.flops / seconds * 1e-9);
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
  void OnOp(const planner::Op& op, const OpCall&, double seconds) override {
    seconds_[op.kind] += seconds;
  }
  const std::map<OpKind, double>& seconds() const { return seconds_; }

 private:
  std::map<OpKind, double> seconds_;
};

absl::StatusOr<double> MeasureSteps(Executor& executor, int step_count) {
  TUNESMITH_RETURN_IF_ERROR(StepSeconds(executor).status());  // pages, caches
  std::vector<double> steps;
  for (int i = 0; i < step_count; ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(const double seconds, StepSeconds(executor));
    steps.push_back(seconds);
  }
  return Median(steps);
}

absl::StatusOr<Json> MeasureOps(Executor& executor, int step_count) {
  SecondsByOp by_op;
  executor.set_observer(&by_op);
  for (int i = 0; i < step_count; ++i) TUNESMITH_RETURN_IF_ERROR(StepSeconds(executor).status());
  executor.set_observer(nullptr);
  Json ops = Json::object();
  for (const auto& [kind, seconds] : by_op.seconds()) {
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
  for (size_t i = 0; i < arguments.size(); i += 2) {
    const std::string& name = arguments[i];
    if (i + 1 == arguments.size()) return absl::InvalidArgumentError(StrCat(name, ": no value"));
    const std::string& value = arguments[i + 1];
    bool valid = true;
    if (name == "--plan") {
      options.plan = value;
    } else if (name == "--threads") {
      valid = absl::SimpleAtoi(value, &options.threads) && options.threads > 0;
    } else if (name == "--steps") {
      valid = absl::SimpleAtoi(value, &options.steps) && options.steps >= 0;
    } else {
      return absl::InvalidArgumentError(StrCat("unknown option ", name));
    }
    if (!valid) return absl::InvalidArgumentError(StrCat(name, " ", value, ": not a count"));
  }
  if (options.plan.empty()) return absl::InvalidArgumentError("--plan FILE is missing");
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
                 {"bound_seconds", bound.seconds}};
  if (options.steps == 0) return result;
  TUNESMITH_ASSIGN_OR_RETURN(const auto executor,
                             Executor::Create(std::move(program), device.context(), {}));
  TUNESMITH_RETURN_IF_ERROR(profiler::FillWithData(*executor));
  TUNESMITH_ASSIGN_OR_RETURN(result["step_seconds"], MeasureSteps(*executor, options.steps));
  TUNESMITH_ASSIGN_OR_RETURN(result["op_seconds"], MeasureOps(*executor, options.steps));
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
