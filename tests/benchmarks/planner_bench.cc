// How quick the planner answers, and how tight its layouts are. No other program does this work to be compared with: the peers price one
// configuration at a time, in milliseconds to minutes each.
//
//   planner_bench [seconds for each figure]
//
// The last line of stdout is one JSON object:
//   priced_per_second                 mixes that MixFamily::Compose prices on one core, recompute counts drawn at random over all six rungs
//   question_seconds_median           Recommend: Llama-3.1-8B at 4,096 tokens, 16 rows a step, one A100-80GB, LoRA
//   question_candidate_count          mixes that answer it; excluded_count: of which excluded by bounds without being priced
//   large_question_seconds_median     Recommend: Llama-2-70b-hf at 4,096 tokens, 64 rows a step, one B200
//   nothing_fits_seconds_median       the same on an A100-80GB, where nothing fits
//   any_method_seconds_median         the first question over full fine-tuning, LoRA and QLoRA
//   front_seconds_median              that with 16 points of the front of time and memory
//   ranks_question_seconds_median     Recommend: full fine-tuning of Llama-2-70b-hf, 64 rows a step, 8 nodes of eight H100
//   changes_seconds_median            the same of 128 rows on four H100, where nothing fits, with every change that would make it
//   command_seconds_median            the first question as a command, from its start to its end
//   calibrated_seconds_median         Recommend: SmolLM2-135M at 512 tokens, 8 rows a step, LoRA, on a CPU by 509 measured rates; by none of them:
//                                     uncalibrated_seconds_median
//   program_seconds                   the whole program of the 80-layer model built, laid out, priced and digested
//   live_bound_ratio_mean, _worst     planned arena over the most bytes that are live at once, over the catalog

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "common/command.h"
#include "common/median.h"
#include "planner/answer/candidates.h"
#include "planner/answer/changes.h"
#include "planner/answer/mix_family.h"
#include "planner/answer/search.h"
#include "planner/model/catalog.h"
#include "planner/program/build_program.h"
#include "planner/program/memory_plan.h"
#include "tests/benchmarks/accuracy_points.h"

namespace tunesmith::planner {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Question QuestionOf(const char* model, int64_t rows, const char* device) {
  Question question{.model = *FindModel(model),
                    .workload = {.context = 4096, .rows_per_step = rows, .document_capacity = 64},
                    .devices = {.hardware = *FindHardware(device)}};
  question.precision = Precision::kBf16;
  return question;
}

// Seconds of one call, the median of as many as fit.
double MedianSeconds(double budget_seconds, const std::function<void()>& call) {
  std::vector<double> seconds;
  call();
  for (const double end = Now() + budget_seconds; seconds.size() < 5 || Now() < end;) {
    const double start = Now();
    call();
    seconds.push_back(Now() - start);
  }
  return Median(seconds);
}

double PricedPerSecond(double budget_seconds) {
  const Question question = QuestionOf("Llama-3.1-8B", 16, "A100-80GB");
  const PriceTable prices(question.devices.hardware, {}, Precision::kBf16);
  SummaryCache cache(prices);
  Mix mix{.method = Method::kLora,
          .precision = Precision::kBf16,
          .attention = AttentionKernel::kFlash,
          .micro_batch = 2,
          .accumulation_count = 8};
  MixFamily family = *MixFamily::Create(InputsFor(question, mix), prices, cache);
  for (int rung = 0; rung < kRungCount; ++rung) family.Prepare(static_cast<Rung>(rung));
  std::mt19937_64 random(1);
  std::vector<RecomputeCounts> mixes(1 << 16);
  for (RecomputeCounts& counts : mixes) {
    for (int64_t layer = 0; layer < family.layer_count(); ++layer) ++counts[random() % kRungCount];
  }
  int64_t count = 0, sum = 0;
  const double start = Now();
  while (Now() < start + budget_seconds) {
    for (const RecomputeCounts& counts : mixes) sum += family.Compose(counts).arena_bytes & 1;
    count += static_cast<int64_t>(mixes.size());
  }
  if (sum < 0) std::abort();  // keeps the loop
  return static_cast<double>(count) / (Now() - start);
}

struct BoundRatio {
  double sum = 0;
  double worst = 0;
  int64_t count = 0;
  std::string worst_mix;
};

// Each model at its own context (at most 8,192 tokens), both methods, every rung alone, one and two micro-batches.
BoundRatio LiveBoundRatios() {
  BoundRatio ratio;
  for (const ModelSpec& model : ModelCatalog()) {
    for (Method method : {Method::kFull, Method::kLora}) {
      for (int rung = 0; rung < kRungCount; ++rung) {
        for (int64_t accumulation_count : {1, 2}) {
          Mix mix{.method = method,
                  .precision = Precision::kBf16,
                  .attention = AttentionKernel::kFlash,
                  .loss = LossKernel::kChunked,
                  .micro_batch = 1,
                  .accumulation_count = accumulation_count};
          mix.recompute[static_cast<size_t>(rung)] = model.layer_count;
          const auto program =
              BuildProgram({.model = model,
                            .workload = {.context = std::min<int64_t>(model.context_limit, 8192),
                                         .rows_per_step = accumulation_count,
                                         .evaluates = true,
                                         .generates = true},
                            .mix = mix,
                            .backend = {.kind = BackendKind::kCuda}});
          if (!program.ok()) continue;
          const double value = static_cast<double>(PlanMemory(*program).device_bytes()) /
                               static_cast<double>(LiveLowerBoundBytes(*program));
          ratio.sum += value;
          ++ratio.count;
          if (value > ratio.worst) {
            ratio.worst = value;
            ratio.worst_mix = model.name + " " + FormatMix(mix);
          }
        }
      }
    }
  }
  return ratio;
}

void Run(double seconds) {
  const double priced = PricedPerSecond(seconds);
  std::printf("%-34s %12.0f\n", "mixes priced per second", priced);

  Question question = QuestionOf("Llama-3.1-8B", 16, "A100-80GB");
  question.method = MethodChoice::kLora;
  const SearchResult answer = *Recommend(question);
  const double question_seconds = MedianSeconds(seconds, [&] { (void)Recommend(question); });
  std::printf("%-34s %12.3f ms   %lld mixes, %lld priced\n", "question (8B, A100-80GB, LoRA)",
              question_seconds * 1e3, static_cast<long long>(answer.candidate_count),
              static_cast<long long>(answer.evaluated_count));

  question.method = MethodChoice::kAny;
  const double any_seconds = MedianSeconds(seconds, [&] { (void)Recommend(question); });
  std::printf("%-34s %12.3f ms\n", "the same, any method", any_seconds * 1e3);

  question.pareto_count = 16;
  const double front = MedianSeconds(seconds, [&] { (void)Recommend(question); });
  std::printf("%-34s %12.3f ms\n", "question with 16 points of front", front * 1e3);

  const Question large = QuestionOf("Llama-2-70b-hf", 64, "B200");
  const SearchResult large_answer = *Recommend(large);
  const double large_seconds = MedianSeconds(seconds, [&] { (void)Recommend(large); });
  std::printf("%-34s %12.3f ms   %lld mixes, %lld priced\n", "large question (70B, B200)",
              large_seconds * 1e3, static_cast<long long>(large_answer.candidate_count),
              static_cast<long long>(large_answer.evaluated_count));

  // ZeRO stages, 4 rows for each of 512 ranks; and of 8.
  Question cluster = QuestionOf("Llama-2-70b-hf", 2048, "H100-SXM");
  cluster.devices.node_count = 64;
  cluster.devices.device_count = 512;
  const SearchResult cluster_answer = *Recommend(cluster);
  const double cluster_seconds = MedianSeconds(seconds, [&] { (void)Recommend(cluster); });
  std::printf("%-34s %12.3f ms   %lld mixes, %lld priced\n", "64 nodes (70B, 64x8xH100)",
              cluster_seconds * 1e3, static_cast<long long>(cluster_answer.candidate_count),
              static_cast<long long>(cluster_answer.evaluated_count));
  Question node = QuestionOf("Llama-2-70b-hf", 64, "H100-SXM");
  node.devices.device_count = 8;
  const double node_seconds = MedianSeconds(seconds, [&] { (void)Recommend(node); });
  std::printf("%-34s %12.3f ms\n", "one node (70B, 8xH100)", node_seconds * 1e3);

  // Where collectives bind, and much recomputation hides behind them: one row for each of 64 ranks.
  Question hidden = QuestionOf("Llama-3.1-8B", 64, "H100-SXM");
  hidden.method = MethodChoice::kFull;
  hidden.devices.node_count = 8;
  hidden.devices.device_count = 64;
  const SearchResult hidden_answer = *Recommend(hidden);
  const double hidden_seconds = MedianSeconds(seconds, [&] { (void)Recommend(hidden); });
  std::printf("%-34s %12.3f ms   %lld priced\n", "collectives bind (8B, 8x8xH100)",
              hidden_seconds * 1e3, static_cast<long long>(hidden_answer.evaluated_count));

  Question host = QuestionOf("SmolLM2-135M", 8, "cpu");
  host.workload.context = 512;
  const double uncalibrated_seconds = MedianSeconds(seconds, [&] { (void)Recommend(host); });
  host.calibration =
      ReadMeasuredHost("tests/profiler/testdata/xeon-2-processors.json").value().calibration;
  const double calibrated_seconds = MedianSeconds(seconds, [&] { (void)Recommend(host); });
  std::printf("%-34s %12.3f ms   %.3f by datasheet\n", "by measured rates (135M, CPU)",
              calibrated_seconds * 1e3, uncalibrated_seconds * 1e3);

  const Question nothing = QuestionOf("Llama-2-70b-hf", 64, "A100-80GB");
  const double nothing_seconds = MedianSeconds(seconds, [&] { (void)Recommend(nothing); });
  std::printf("%-34s %12.3f ms\n", "nothing fits (70B, A100-80GB)", nothing_seconds * 1e3);

  // Full fine-tuning over many ranks, a list of eight.
  Question ranks = QuestionOf("Llama-2-70b-hf", 64, "H100-SXM");
  ranks.method = MethodChoice::kFull;
  ranks.devices.node_count = 8;
  ranks.devices.device_count = 64;
  const double ranks_seconds = MedianSeconds(seconds, [&] { (void)Recommend(ranks); });
  std::printf("%-34s %12.3f ms\n", "full fine-tuning (70B, 8x8xH100)", ranks_seconds * 1e3);

  // Loading gRPC and protobuf is a good part of the whole command.
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(
        arguments.begin(),
        std::filesystem::read_symlink("/proc/self/exe").replace_filename("tunesmith").string());
    return MedianSeconds(seconds, [&] { (void)RunCommand({.arguments = arguments}); });
  };
  const double command_seconds =
      run({"--offline", "recommend", "--model", "Llama-3.1-8B", "--context", "4096", "--gpus",
           "A100-80GB", "--method", "lora"});
  std::printf("%-34s %12.3f ms   %.3f of it for `tunesmith version`\n",
              "the command, first question", command_seconds * 1e3, run({"version"}) * 1e3);

  // With every change that would make it fit, as the command prints them.
  Question full = QuestionOf("Llama-2-70b-hf", 128, "H100-SXM");
  full.method = MethodChoice::kFull;
  full.devices.device_count = 4;
  const double changes_seconds = MedianSeconds(seconds, [&] {
    const SearchResult result = *Recommend(full);
    (void)CheapestChanges(full, *result.nearest);
  });
  std::printf("%-34s %12.3f ms\n", "nothing fits (full, 4xH100), changes", changes_seconds * 1e3);

  Mix mix = large_answer.ranked.at(0).mix;
  mix.recompute = {20, 15, 15, 10, 15, 5};
  const PriceTable prices(large.devices.hardware, {}, Precision::kBf16);
  const double program_seconds = MedianSeconds(seconds, [&] {
    const Program program = *BuildProgram(InputsFor(large, mix));
    (void)PlanMemory(program);
    (void)PriceStep(program, prices);
    (void)ProgramDigest(program);
  });
  std::printf("%-34s %12.3f ms\n", "program of 80 layers, six rungs", program_seconds * 1e3);

  const BoundRatio ratio = LiveBoundRatios();
  const double mean = ratio.sum / static_cast<double>(ratio.count);
  std::printf("%-34s %12.4f mean %8.4f worst (%s), %lld programs\n", "planned over live bound",
              mean, ratio.worst, ratio.worst_mix.c_str(), static_cast<long long>(ratio.count));
  std::printf(
      "{\"command_seconds_median\": %.6f, \"ranks_question_seconds_median\": %.6f, "
      "\"changes_seconds_median\": %.6f, \"cluster_question_seconds_median\": %.6f, "
      "\"node_question_seconds_median\": %.6f, "
      "\"hidden_question_seconds_median\": %.6f, \"calibrated_seconds_median\": %.6f, "
      "\"uncalibrated_seconds_median\": %.6f, "
      "\"priced_per_second\": %.0f, \"question_seconds_median\": %.6f, "
      "\"question_candidate_count\": %lld, \"excluded_count\": %lld, "
      "\"large_question_seconds_median\": %.6f, \"nothing_fits_seconds_median\": %.6f, "
      "\"any_method_seconds_median\": %.6f, \"front_seconds_median\": %.6f, \"program_seconds\": "
      "%.6f, \"live_bound_ratio_mean\": %.4f, "
      "\"live_bound_ratio_worst\": %.4f}\n",
      command_seconds, ranks_seconds, changes_seconds, cluster_seconds, node_seconds,
      hidden_seconds, calibrated_seconds, uncalibrated_seconds, priced, question_seconds,
      static_cast<long long>(answer.candidate_count), static_cast<long long>(answer.excluded_count),
      large_seconds, nothing_seconds, any_seconds, front, program_seconds, mean, ratio.worst);
}

}  // namespace
}  // namespace tunesmith::planner

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2;
  if (!(seconds > 0)) {
    std::fprintf(stderr, "usage: planner_bench [seconds for each figure]\n");
    return 2;
  }
  tunesmith::planner::Run(seconds);
  return 0;
}
