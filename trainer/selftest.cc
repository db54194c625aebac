#include "trainer/selftest.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <random>
#include <utility>

#include "common/median.h"
#include "common/meminfo.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/program/build_program.h"
#include "trainer/device_use.h"
#include "trainer/job/session.h"
#include "trainer/model_io/weight_source.h"

namespace tunesmith::trainer {
namespace {

int64_t DrawLength(const SelfTestOptions& options, std::mt19937_64& random) {
  if (options.documents == SelfTestDocuments::kFilled) return options.context;
  return 5 + static_cast<int64_t>(random() % 16);
}

// Tokens of a row follow t -> (3 t + 1) mod V within documents that start anywhere: a rule that a model learns in some steps.
Batch MakeBatch(const SelfTestOptions& options, int64_t row_count, std::mt19937_64& random) {
  const int64_t vocab = options.model.vocab_size;
  Batch batch;
  batch.row_count = row_count;
  batch.context = options.context;
  for (int64_t row = 0; row < row_count; ++row) {
    int64_t start = 0, length = 0, token = 0;
    for (int64_t t = 0; t < options.context; ++t) {
      if (t == start + length) {
        start = t;
        length = DrawLength(options, random);
        token = static_cast<int64_t>(random() % static_cast<uint64_t>(vocab));
      } else {
        token = (3 * token + 1) % vocab;
      }
      const bool last = t + 1 == start + length || t + 1 == options.context;
      batch.tokens.push_back(static_cast<int32_t>(token));
      batch.labels.push_back(last ? -1 : static_cast<int32_t>((3 * token + 1) % vocab));
      batch.positions.push_back(static_cast<int32_t>(t - start));
      batch.document_starts.push_back(static_cast<int32_t>(start));
      batch.valid_label_count += !last;
    }
  }
  return batch;
}

std::vector<Batch> MakeStep(const SelfTestOptions& options, std::mt19937_64& random) {
  std::vector<Batch> batches;
  for (int64_t i = 0; i < options.mix.accumulation_count; ++i) {
    batches.push_back(MakeBatch(options, options.mix.micro_batch, random));
  }
  return batches;
}

absl::StatusOr<planner::Program> ProgramOf(const OpContext& context,
                                           const SelfTestOptions& options) {
  const planner::Mix& mix = options.mix;
  const planner::Workload workload = {
      .context = options.context,
      .rows_per_step = mix.micro_batch * mix.accumulation_count * mix.data_parallel,
      .evaluates = false,
      .generates = false};
  TUNESMITH_RETURN_IF_ERROR(planner::ValidateModelSpec(options.model));
  TUNESMITH_RETURN_IF_ERROR(planner::ValidateMix(mix, options.model.layer_count));
  TUNESMITH_RETURN_IF_ERROR(planner::ValidateWorkload(workload, options.model));
  return planner::BuildProgram(
      {.model = options.model, .workload = workload, .mix = mix, .backend = BackendOf(context)});
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

absl::StatusOr<std::unique_ptr<Session>> OpenSession(const OpContext& context,
                                                     const SelfTestOptions& options) {
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program program, ProgramOf(context, options));
  if (options.noise_weights)
    return Session::CreateWithNoise(std::move(program), context, options.seed);
  const auto weights = RandomModel(options.model, options.seed);
  return Session::Create(std::move(program), context, *weights, options.seed);
}

class SelfTest {
 public:
  static absl::StatusOr<SelfTest> Open(const OpContext& context, const SelfTestOptions& options) {
    const double start = Now();
    TUNESMITH_ASSIGN_OR_RETURN(auto session, OpenSession(context, options));
    SelfTest test(options, std::move(session));
    if (options.warm_up == SelfTestWarmUp::kMicroBatches)
      TUNESMITH_RETURN_IF_ERROR(test.RunMicroBatches());
    test.result_.set_up_seconds = Now() - start;
    return test;
  }

  absl::StatusOr<SelfTestResult> Run() {
    const double start = Now();
    for (int64_t step = 1; step <= options_.step_count && !IsLate(Now() - start); ++step)
      TUNESMITH_RETURN_IF_ERROR(TakeStep(step));
    SumTimesUp();
    TUNESMITH_RETURN_IF_ERROR(MeasureMemory());
    return std::move(result_);
  }

 private:
  SelfTest(const SelfTestOptions& options, std::unique_ptr<Session> session)
      : options_(options), session_(std::move(session)), random_(options.seed) {}

  // On the tokens that a cleared arena has: what they are makes no difference to what is loaded.
  absl::Status RunMicroBatches() {
    for (const planner::Segment& segment : session_->program().segments) {
      if (planner::IsMicro(segment.kind) && segment.repeat_count > 0)
        TUNESMITH_RETURN_IF_ERROR(session_->executor().Run(segment.kind));
    }
    return session_->executor().Synchronize();
  }

  bool IsLate(double seconds) const {
    return options_.most_seconds > 0 && !result_.step_seconds.empty() &&
           seconds > options_.most_seconds;
  }

  absl::Status TakeStep(int64_t step) {
    const std::vector<Batch> batches = MakeStep(options_, random_);
    const double start = Now();
    TUNESMITH_ASSIGN_OR_RETURN(
        const StepResult done,
        session_->Step(batches,
                       {.learning_rate = 1e-3, .max_gradient_norm = 1.0, .optimizer_step = step}));
    if (step > 1 || options_.warm_up != SelfTestWarmUp::kStep)
      result_.step_seconds.push_back(Now() - start);
    result_.losses.push_back(done.mean_loss);
    result_.gradient_norms.push_back(done.gradient_norm);
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t used,
                               DeviceBytesInUse(session_->executor().context()));
    result_.device_bytes = std::max(result_.device_bytes, used);
    return absl::OkStatus();
  }

  void SumTimesUp() {
    result_.tokens_per_step =
        options_.mix.micro_batch * options_.mix.accumulation_count * options_.context;
    const std::vector<double>& seconds = result_.step_seconds;
    if (seconds.empty()) return;
    result_.median_step_seconds = Median(seconds);
    const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
    result_.step_spread = (*most - *least) / result_.median_step_seconds;
    result_.tokens_per_second =
        static_cast<double>(result_.tokens_per_step) / result_.median_step_seconds;
  }

  absl::Status MeasureMemory() {
    Arena& arena = session_->executor().arena();
    result_.planned_arena_bytes = arena.plan().device_bytes();
    result_.pinned_bytes = arena.plan().host_bytes();
    result_.peak_resident_bytes = PeakResidentBytes();
    if (!options_.counts_used_bytes) return absl::OkStatus();
    TUNESMITH_ASSIGN_OR_RETURN(result_.used_arena_bytes, arena.CountUsedBytes());
    return absl::OkStatus();
  }

  const SelfTestOptions options_;
  std::unique_ptr<Session> session_;
  std::mt19937_64 random_;
  SelfTestResult result_;
};

}  // namespace

absl::StatusOr<SelfTestResult> RunSelfTest(const OpContext& context, const SelfTestOptions& asked) {
  SelfTestOptions options = asked;
  // What is made up computes beyond the context that text was learnt with all the same.
  options.model.context_limit = std::max(options.model.context_limit, options.context);
  TUNESMITH_ASSIGN_OR_RETURN(SelfTest test, SelfTest::Open(context, options));
  return test.Run();
}

absl::Status CompareLosses(const SelfTestResult& result, const SelfTestResult& reference,
                           double tolerance) {
  for (size_t i = 0; i < reference.losses.size(); ++i) {
    const double loss = i < result.losses.size() ? result.losses[i] : std::nan("");
    if (std::abs(loss - reference.losses[i]) <= tolerance) continue;
    return absl::DataLossError(StrCat("the loss of step ", i + 1, " is ", loss, ", on the CPU ",
                                      reference.losses[i], ": more than ", tolerance, " apart"));
  }
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer
