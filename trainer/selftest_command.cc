#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "nlohmann/json.hpp"
#include "planner/answer/predict.h"
#include "planner/model/catalog.h"
#include "planner/model/device_names.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/open_device.h"
#include "trainer/selftest.h"
#include "trainer/selftest_model.h"

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

// What an option takes, in words.
template <typename T>
struct Word {
  std::string_view text;
  T value;
};
constexpr Word<SelfTestDocuments> kDocuments[] = {{"short", SelfTestDocuments::kShort},
                                                  {"filled", SelfTestDocuments::kFilled}};
constexpr Word<SelfTestWarmUp> kWarmUps[] = {{"none", SelfTestWarmUp::kNone},
                                             {"micro", SelfTestWarmUp::kMicroBatches},
                                             {"step", SelfTestWarmUp::kStep}};
constexpr Word<bool> kNoise[] = {{"drawn", false}, {"noise", true}};
constexpr Word<bool> kYesNo[] = {{"no", false}, {"yes", true}};

template <typename T, size_t N>
bool SetWord(const Word<T> (&words)[N], std::string_view text, T& value) {
  for (const Word<T>& word : words) {
    if (word.text != text) continue;
    value = word.value;
    return true;
  }
  return false;
}

template <typename T, size_t N>
std::string TextOf(const Word<T> (&words)[N], T value) {
  for (const Word<T>& word : words)
    if (word.value == value) return std::string(word.text);
  return "";
}

absl::Status SetOption(CommandOptions& options, const std::string& name, const std::string& value) {
  SelfTestOptions& test = options.test;
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
    valid = absl::SimpleAtoi(value, &test.context);
  } else if (name == "--steps") {
    valid = absl::SimpleAtoi(value, &test.step_count) && test.step_count > 0;
  } else if (name == "--seed") {
    valid = absl::SimpleAtoi(value, &test.seed);
  } else if (name == "--threads") {
    valid = absl::SimpleAtoi(value, &options.threads) && options.threads > 0;
  } else if (name == "--documents") {
    valid = SetWord(kDocuments, value, test.documents);
  } else if (name == "--weights") {
    valid = SetWord(kNoise, value, test.noise_weights);
  } else if (name == "--warm-up") {
    valid = SetWord(kWarmUps, value, test.warm_up);
  } else if (name == "--count-used") {
    valid = SetWord(kYesNo, value, test.counts_used_bytes);
  } else if (name == "--seconds") {
    valid = absl::SimpleAtod(value, &test.most_seconds) && test.most_seconds > 0;
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

// What the planner counts beside the arena where it was not measured: what is predicted in all is more by that, or by what a calibration says.
absl::StatusOr<int64_t> AssumedOutsideArenaBytes(const CommandOptions& options,
                                                 const CudaContext& cuda) {
  planner::Question question{.model = options.test.model};
  TUNESMITH_ASSIGN_OR_RETURN(question.devices.hardware,
                             planner::FindHardwareOfDevice(cuda.info().name));
  return planner::BudgetOf(question).outside_arena_bytes;
}

absl::StatusOr<SelfTestResult> RunOnDevice(const CommandOptions& options, nlohmann::json& report) {
  TUNESMITH_ASSIGN_OR_RETURN(const OpenDevice device,
                             OpenDevice::Open(options.device, options.threads));
  report["device"] = options.device;
  CudaContext* const cuda = device.context().cuda;
  if (cuda == nullptr) return RunSelfTest(device.context(), options.test);
  report["device_name"] = cuda->info().name;
  report["workspace_bytes"] = CudaContext::AllocatedBytes({});
  if (const auto outside = AssumedOutsideArenaBytes(options, *cuda); outside.ok())
    report["assumed_outside_arena_bytes"] = *outside;
  TUNESMITH_ASSIGN_OR_RETURN(const SelfTestResult result,
                             RunSelfTest(device.context(), options.test));
  report["notes"] = cuda->TakeNotes();
  return result;
}

nlohmann::json Conditions(const CommandOptions& options) {
  const SelfTestOptions& test = options.test;
  return {{"model", test.model.name},
          {"mix", planner::FormatMix(test.mix)},
          {"context", test.context},
          {"dropout", test.mix.method == planner::Method::kFull ? 0 : test.mix.lora.dropout},
          {"documents", TextOf(kDocuments, test.documents)},
          {"weights", TextOf(kNoise, test.noise_weights)},
          {"warm_up", TextOf(kWarmUps, test.warm_up)}};
}

void Report(const SelfTestResult& result, nlohmann::json& report) {
  report["losses"] = result.losses;
  report["gradient_norms"] = result.gradient_norms;
  report["step_seconds"] = result.step_seconds;
  report["median_step_seconds"] = result.median_step_seconds;
  report["step_spread"] = result.step_spread;
  report["tokens_per_step"] = result.tokens_per_step;
  report["tokens_per_second"] = result.tokens_per_second;
  report["set_up_seconds"] = result.set_up_seconds;
  report["planned_arena_bytes"] = result.planned_arena_bytes;
  report["used_arena_bytes"] = result.used_arena_bytes;
  report["pinned_bytes"] = result.pinned_bytes;
  report["device_bytes"] = result.device_bytes;
  report["peak_resident_bytes"] = result.peak_resident_bytes;
}

}  // namespace

absl::Status SelfTestCommand(absl::Span<const std::string> arguments) {
  TUNESMITH_ASSIGN_OR_RETURN(const CommandOptions options, ParseOptions(arguments));
  nlohmann::json report = Conditions(options);
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

int SelfTestMain(const std::vector<std::string>& arguments) {
  const absl::Status status = SelfTestCommand(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "tunesmith-selftest: %s\n", std::string(status.message()).c_str());
  return EXIT_FAILURE;
}

}  // namespace tunesmith::trainer
