#include <cstdio>
#include <string>

#include "absl/strings/numbers.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "nlohmann/json.hpp"
#include "planner/model/catalog.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/open_device.h"
#include "trainer/selftest.h"

namespace tunesmith::trainer {
namespace {

constexpr double kFp32Tolerance = 1e-4;
constexpr double kBf16Tolerance = 0.01;

struct CommandOptions {
  SelfTestOptions test;
  std::string device = "cpu";
  std::string model;
  std::string mix = "method=full batch=2x2";
  bool compares = false;
  int64_t threads = 0;  // one per processor
};

absl::Status SetOption(CommandOptions& options, const std::string& name, const std::string& value) {
  bool valid = true;
  if (name == "--device") {
    options.device = value;
  } else if (name == "--compare") {
    options.compares = valid = value == "cpu";
  } else if (name == "--model") {
    options.model = value;
  } else if (name == "--mix") {
    options.mix = value;
  } else if (name == "--context") {
    valid = absl::SimpleAtoi(value, &options.test.context);
  } else if (name == "--steps") {
    valid = absl::SimpleAtoi(value, &options.test.step_count) && options.test.step_count > 0;
  } else if (name == "--seed") {
    valid = absl::SimpleAtoi(value, &options.test.seed);
  } else if (name == "--threads") {
    valid = absl::SimpleAtoi(value, &options.threads) && options.threads > 0;
  } else {
    return absl::InvalidArgumentError(StrCat("selftest has no option ", name));
  }
  if (valid) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(name, " does not take the value ", value));
}

absl::StatusOr<CommandOptions> ParseOptions(absl::Span<const std::string> arguments) {
  CommandOptions options;
  for (size_t i = 0; i < arguments.size(); i += 2) {
    if (i + 1 == arguments.size()) {
      return absl::InvalidArgumentError(StrCat(arguments[i], " needs a value"));
    }
    TUNESMITH_RETURN_IF_ERROR(SetOption(options, arguments[i], arguments[i + 1]));
  }
  options.test.model = SelfTestModel();
  if (!options.model.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(options.test.model, planner::FindModel(options.model));
  }
  planner::Mix& mix = options.test.mix;
  TUNESMITH_ASSIGN_OR_RETURN(mix, planner::ParseMix(options.mix));
  if (mix.recompute == decltype(mix.recompute){}) {
    mix.recompute[static_cast<size_t>(planner::Rung::kKeep)] = options.test.model.layer_count;
  }
  return options;
}

// What is compared with: the same in fp32, where no rounding hides a fault, by kernels that a CPU has.
absl::StatusOr<SelfTestResult> RunReference(const CommandOptions& options) {
  SelfTestOptions test = options.test;
  if (test.mix.precision == planner::Precision::kBf16) {
    test.mix.precision = planner::Precision::kFp32;
    test.mix.optimizer_state = planner::OptimizerState::kFp32;
    test.mix.accumulation_dtype = planner::AccumulationDtype::kFp32;
    if (test.mix.attention == planner::AttentionKernel::kCudnn)
      test.mix.attention = planner::AttentionKernel::kFlash;
  }
  TUNESMITH_ASSIGN_OR_RETURN(const OpenDevice cpu, OpenDevice::Open("cpu", options.threads));
  return RunSelfTest(cpu.context(), test);
}

absl::StatusOr<SelfTestResult> RunOnDevice(const CommandOptions& options, nlohmann::json& report) {
  TUNESMITH_ASSIGN_OR_RETURN(const OpenDevice device,
                             OpenDevice::Open(options.device, options.threads));
  report["device"] = options.device;
  CudaContext* const cuda = device.context().cuda;
  if (cuda == nullptr) return RunSelfTest(device.context(), options.test);
  report["device_name"] = cuda->info().name;
  TUNESMITH_ASSIGN_OR_RETURN(const SelfTestResult result,
                             RunSelfTest(device.context(), options.test));
  report["notes"] = cuda->TakeNotes();
  report["workspace_bytes"] = CudaContext::AllocatedBytes({});
  return result;
}

void Report(const SelfTestResult& result, nlohmann::json& report) {
  report["losses"] = result.losses;
  report["gradient_norms"] = result.gradient_norms;
  report["median_step_seconds"] = result.median_step_seconds;
  report["tokens_per_second"] = result.tokens_per_second;
  report["planned_arena_bytes"] = result.planned_arena_bytes;
  report["used_arena_bytes"] = result.used_arena_bytes;
}

}  // namespace

absl::Status SelfTestCommand(absl::Span<const std::string> arguments) {
  TUNESMITH_ASSIGN_OR_RETURN(const CommandOptions options, ParseOptions(arguments));
  nlohmann::json report = {{"model", options.test.model.name},
                           {"mix", planner::FormatMix(options.test.mix)},
                           {"context", options.test.context}};
  TUNESMITH_ASSIGN_OR_RETURN(const SelfTestResult result, RunOnDevice(options, report));
  Report(result, report);
  absl::Status agrees;
  if (options.compares) {
    TUNESMITH_ASSIGN_OR_RETURN(const SelfTestResult reference, RunReference(options));
    report["cpu_losses"] = reference.losses;
    const bool is_bf16 = options.test.mix.precision == planner::Precision::kBf16;
    agrees = CompareLosses(result, reference, is_bf16 ? kBf16Tolerance : kFp32Tolerance);
  }
  std::printf("%s\n", report.dump().c_str());
  return agrees;
}

}  // namespace tunesmith::trainer
