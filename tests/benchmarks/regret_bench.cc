// What following the planner's recommendation costs on this host, against the best of all mixes that a question allows.
//
//   regret_bench [--calibration FILE] [--budget 120]
//
// For each question every feasible mix of a small family is measured (attention x loss x one rung for all layers x micro-batch), and what the planner recommends,
// which may be none of these. The three quickest and the recommended one are then measured again, taking turns; the regret is how much longer the
// recommended one takes than the quickest of the four. The last line of stdout is one JSON object:
//   question_count, regret_mean, regret_worst
//   noise_floor            mean over the mixes measured again of |median of odd rounds / median of even rounds - 1|
//   out_of_memory_count    recommended or feasible mixes that did not fit, or whose arena was larger than predicted
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/model/catalog.h"
#include "tests/benchmarks/timed_step.h"
#include "trainer/open_device.h"

namespace tunesmith {
namespace {

using planner::MethodChoice;
using planner::Mix;

constexpr int kFirstRounds = 2, kLastRounds = 6;
constexpr size_t kBestCount = 3;

struct Asked {
  const char* model;
  int64_t layer_count;  // its first layers
  int64_t context, rows;
  MethodChoice method;
  double memory_gib;  // 0: what the host has
};
// Steps of about half a second to a second on two cores: six times some eighteen mixes, three steps each, fit a quarter of an hour.
constexpr Asked kQuestions[] = {
    {"SmolLM2-135M", 5, 128, 4, MethodChoice::kLora, 0},
    {"llama-160m", 3, 96, 4, MethodChoice::kFull, 0},
    {"MPT-125m", 4, 64, 8, MethodChoice::kLora, 0.6},
    {"Qwen2.5-0.5B", 2, 64, 2, MethodChoice::kFull, 0},
    {"60M", 100, 192, 4, MethodChoice::kLora, 0.5},
    {"SmolLM2-360M", 3, 64, 4, MethodChoice::kQlora, 0},
};

struct Candidate {
  Mix mix;
  int64_t predicted_arena_bytes = 0;
  double seconds = 0;
};

absl::StatusOr<planner::Question> QuestionOf(const Asked& asked,
                                             const planner::Calibration& calibration) {
  planner::Question question;
  TUNESMITH_ASSIGN_OR_RETURN(question.model, planner::FindModel(asked.model));
  question.model.layer_count = std::min(question.model.layer_count, asked.layer_count);
  question.workload = {.context = asked.context,
                       .rows_per_step = asked.rows,
                       .evaluates = false,
                       .generates = false};
  question.method = asked.method;
  TUNESMITH_ASSIGN_OR_RETURN(question.devices, planner::ParseDeviceGroup("cpu"));
  question.memory_budget_bytes = static_cast<int64_t>(asked.memory_gib * (1 << 30));
  question.calibration = calibration;
  return question;
}

// Families of the question with one rung for all layers, those that fit.
absl::StatusOr<std::vector<Candidate>> FeasibleMixes(const planner::Question& question) {
  std::vector<Candidate> feasible;
  for (Mix mix : planner::FamiliesOf(question)) {
    if (mix.mlp_tile_count > 1) continue;
    for (const planner::Rung rung :
         {planner::Rung::kKeep, planner::Rung::kNorms, planner::Rung::kBlock}) {
      mix.recompute = {};
      mix.recompute[static_cast<size_t>(rung)] = question.model.layer_count;
      TUNESMITH_ASSIGN_OR_RETURN(const planner::Prediction prediction,
                                 planner::Estimate(question, mix));
      if (prediction.fits) feasible.push_back({mix, prediction.memory.arena_bytes});
    }
  }
  return feasible;
}

class Bench {
 public:
  Bench(planner::Calibration calibration, const trainer::OpContext& context)
      : calibration_(std::move(calibration)), context_(context) {}

  absl::Status Ask(const Asked& asked) {
    TUNESMITH_ASSIGN_OR_RETURN(const planner::Question question, QuestionOf(asked, calibration_));
    TUNESMITH_ASSIGN_OR_RETURN(const planner::SearchResult answer, planner::Recommend(question));
    if (answer.ranked.empty())
      return absl::InternalError(StrCat("nothing fits the question of ", asked.model));
    Candidate recommended{answer.ranked[0].mix, answer.ranked[0].memory.arena_bytes};
    TUNESMITH_ASSIGN_OR_RETURN(std::vector<Candidate> mixes, FeasibleMixes(question));
    for (Candidate& candidate : mixes) TUNESMITH_RETURN_IF_ERROR(MeasureOnce(question, candidate));
    std::sort(mixes.begin(), mixes.end(),
              [](const Candidate& a, const Candidate& b) { return a.seconds < b.seconds; });
    const size_t feasible_count = mixes.size();
    mixes.resize(std::min(mixes.size(), kBestCount));
    mixes.push_back(recommended);
    TUNESMITH_RETURN_IF_ERROR(MeasureInTurns(question, mixes));
    const double best =
        std::min_element(mixes.begin(), mixes.end(), [](const Candidate& a, const Candidate& b) {
          return a.seconds < b.seconds;
        })->seconds;
    const double regret = mixes.back().seconds / best - 1;
    regrets_.push_back(regret);
    std::printf("%s x%lld, context %lld: %zu feasible mixes, regret %.1f %%\n", asked.model,
                static_cast<long long>(question.model.layer_count),
                static_cast<long long>(asked.context), feasible_count, 100 * regret);
    for (const Candidate& candidate : mixes)
      std::printf("  %s  %s%s\n", FormatSeconds(candidate.seconds).c_str(),
                  planner::FormatMix(candidate.mix).c_str(),
                  &candidate == &mixes.back() ? "  (recommended)" : "");
    std::fflush(stdout);
    return absl::OkStatus();
  }

  void Print() const {
    double sum = 0, worst = 0, noise = 0;
    for (const double regret : regrets_) {
      sum += regret;
      worst = std::max(worst, regret);
    }
    for (const double x : noises_) noise += x;
    std::printf(
        "{\"question_count\": %zu, \"regret_mean\": %.4f, \"regret_worst\": %.4f, \"noise_floor\": "
        "%.4f, \"out_of_memory_count\": %lld, \"mix_count\": %lld}\n",
        regrets_.size(), sum / static_cast<double>(regrets_.size()), worst,
        noise / static_cast<double>(noises_.size()), static_cast<long long>(out_of_memory_count_),
        static_cast<long long>(mix_count_));
  }

 private:
  absl::StatusOr<TimedStep> Open(const planner::Question& question, const Candidate& candidate) {
    absl::StatusOr<TimedStep> step =
        TimedStep::Open(planner::InputsFor(question, candidate.mix), context_);
    const bool larger = step.ok() && step->arena_bytes() > candidate.predicted_arena_bytes;
    if (larger || absl::IsResourceExhausted(step.status())) ++out_of_memory_count_;
    return step;
  }

  absl::Status MeasureOnce(const planner::Question& question, Candidate& candidate) {
    TUNESMITH_ASSIGN_OR_RETURN(TimedStep step, Open(question, candidate));
    for (int i = 0; i < kFirstRounds; ++i) TUNESMITH_RETURN_IF_ERROR(step.Run());
    candidate.seconds = *std::min_element(step.seconds().begin(), step.seconds().end());
    ++mix_count_;
    return absl::OkStatus();
  }

  absl::Status MeasureInTurns(const planner::Question& question,
                              std::vector<Candidate>& candidates) {
    std::vector<TimedStep> steps;
    for (const Candidate& candidate : candidates) {
      TUNESMITH_ASSIGN_OR_RETURN(TimedStep step, Open(question, candidate));
      steps.push_back(std::move(step));
    }
    for (int round = 0; round < kLastRounds; ++round)
      for (TimedStep& step : steps) TUNESMITH_RETURN_IF_ERROR(step.Run());
    for (size_t i = 0; i < steps.size(); ++i) {
      candidates[i].seconds = steps[i].median_seconds();
      noises_.push_back(steps[i].noise());
    }
    return absl::OkStatus();
  }

  const planner::Calibration calibration_;
  const trainer::OpContext& context_;
  std::vector<double> regrets_;
  std::vector<double> noises_;
  int64_t out_of_memory_count_ = 0;
  int64_t mix_count_ = 0;
};

absl::Status Run(const std::string& calibration_path, double budget_seconds) {
  TUNESMITH_ASSIGN_OR_RETURN(const trainer::OpenDevice device, trainer::OpenDevice::Open("cpu", 0));
  TUNESMITH_ASSIGN_OR_RETURN(
      planner::Calibration calibration,
      CalibrationOf(calibration_path, budget_seconds, planner::Precision::kFp32, device.context()));
  Bench bench(std::move(calibration), device.context());
  for (const Asked& asked : kQuestions) TUNESMITH_RETURN_IF_ERROR(bench.Ask(asked));
  bench.Print();
  return absl::OkStatus();
}

}  // namespace
}  // namespace tunesmith

int main(int argc, char** argv) {
  std::string calibration_path;
  double budget_seconds = 120;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--calibration") {
      calibration_path = argv[i + 1];
    } else if (flag == "--budget") {
      budget_seconds = std::atof(argv[i + 1]);
    } else {
      std::fprintf(stderr, "regret_bench: unknown flag %s\n", argv[i]);
      return 2;
    }
  }
  if (const absl::Status status = tunesmith::Run(calibration_path, budget_seconds); !status.ok()) {
    std::fprintf(stderr, "regret_bench: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
