#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "client/cluster_flag.h"
#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/listings.h"
#include "client/plan_probe.h"
#include "client/positive.h"
#include "client/print_answer.h"
#include "client/question_flags.h"
#include "client/runtime_flags.h"
#include "client/show.h"
#include "client/show_runtime.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"

namespace tunesmith::client {
namespace {

struct RecommendFlags {
  QuestionFlags question;
  RuntimeFlags runtime;
  std::string cluster;
  double price = 0;  // of a device for an hour; 0: not known
  int64_t top = 8;
  std::string mix;
  std::string plan_out;
  bool explain = false;
  bool probe = false;
  int64_t pareto = 0;
  Output output;
};

absl::Status WritePlan(const std::string& path, const auto& answer) {
  if (path.empty() || !answer.has_plan()) return absl::OkStatus();
  TUNESMITH_RETURN_IF_ERROR(convert::WriteJsonFile(path, answer.plan()));
  std::fprintf(stderr, "plan written to %s\n", path.c_str());
  return absl::OkStatus();
}

std::string ShowRuntime(const Output& output, const v1::RecommendResponse& answer,
                        const std::vector<std::string>& notes) {
  return ShowRuntimeAnswer(output, answer.runtime_answer(), notes);
}

constexpr AnswerForms<v1::RecommendResponse> kRuntimeForms = {
    ShowRuntime,
    [](const v1::RecommendResponse& answer) { return RuntimeMixListing(answer.runtime_answer()); }};

// Where the front was asked for, it is the answer's records.
constexpr AnswerForms<v1::RecommendResponse> kRecommendForms = {
    ShowRecommendation, [](const v1::RecommendResponse& answer) {
      return answer.pareto().empty() ? MixListing(answer.ranked(), /*starred=*/true)
                                     : MixListing(answer.pareto(), /*starred=*/false);
    }};

constexpr AnswerForms<v1::EstimateResponse> kEstimateForms = {
    ShowEstimate, [](const v1::EstimateResponse& answer) {
      google::protobuf::RepeatedPtrField<v1::RankedMix> mixes;
      *mixes.Add() = answer.estimate();
      return MixListing(mixes, /*starred=*/false);
    }};

int ReportRuntime(const RecommendFlags& flags, const std::vector<std::string>& notes,
                  const v1::RecommendResponse& answer) {
  PrintAnswer(answer, notes, flags.output, kRuntimeForms);
  const absl::Status status =
      WriteRuntimeFiles(flags.runtime.export_directory, answer.runtime_answer());
  if (!status.ok()) return Fail(status);
  return answer.runtime_answer().ranked().empty() ? kExitNothingFits : kExitOk;
}

// Flags whose answer only the planner of the bundled trainer gives.
absl::Status CheckRuntimeFlags(const RecommendFlags& flags) {
  if (flags.runtime.runtime.empty()) return absl::OkStatus();
  if (flags.question.documents_per_row > 0)
    return absl::InvalidArgumentError(
        "--documents-per-row is for the bundled trainer; with --runtime every row is planned as "
        "one document");
  const bool trainer_only = flags.explain || flags.pareto > 0 || flags.price > 0 ||
                            !flags.plan_out.empty() || !flags.cluster.empty() || flags.probe;
  if (!trainer_only) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--explain, --pareto, --price, --cluster, --probe and --plan-out are for the bundled "
      "trainer; with "
      "--runtime, --export "
      "writes that stack's configuration");
}

absl::Status SetPrice(double price, v1::Question& question) {
  if (price > 0 && question.workload().dataset_token_count() == 0)
    return absl::InvalidArgumentError(
        "--price needs the size of the data set; give --dataset or --dataset-tokens");
  question.set_price_per_device_hour(price);
  return absl::OkStatus();
}

using HeadedRecommendation = HeadedAnswer<v1::RecommendResponse>;

// Of the devices of the question, or of every kind of node of the cluster.
absl::StatusOr<std::vector<HeadedRecommendation>> AskAll(const Globals& globals,
                                                         const RecommendFlags& flags,
                                                         v1::RecommendRequest request) {
  const std::unique_ptr<Recommender> recommender = globals.MakeRecommender();
  std::vector<HeadedRecommendation> answers;
  if (flags.cluster.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(v1::RecommendResponse answer, recommender->Recommend(request));
    answers.push_back({.heading = "", .answer = std::move(answer)});
    return answers;
  }
  TUNESMITH_ASSIGN_OR_RETURN(const auto groups, ReadCluster(flags.cluster));
  const v1::Question question = request.question();
  for (const planner::NodeGroup& group : groups) {
    *request.mutable_question() = QuestionForGroup(question, group);
    absl::StatusOr<v1::RecommendResponse> answer = recommender->Recommend(request);
    if (!answer.ok())
      return absl::Status(answer.status().code(),
                          StrCat(GroupName(group), ": ", std::string(answer.status().message())));
    answers.push_back({.heading = GroupName(group), .answer = *std::move(answer)});
  }
  return answers;
}

// One step of the chosen mix on this host. Nothing is added to what programs read.
absl::Status Probe(const RecommendFlags& flags, const auto& answer) {
  if (!flags.probe || !answer.has_plan()) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(const std::string line, ProbePlan(answer.plan()));
  std::fputs(line.c_str(), flags.output.IsText() ? stdout : stderr);
  return absl::OkStatus();
}

// Prints what the bundled trainer's planner answered.
int Report(const RecommendFlags& flags, const std::vector<std::string>& notes,
           const std::vector<HeadedRecommendation>& answers) {
  if (answers.size() > 1 && !flags.plan_out.empty())
    return Fail(absl::InvalidArgumentError(
        "--plan-out: the cluster has several kinds of nodes; ask about one of them"));
  PrintAnswers(answers, notes, flags.output, kRecommendForms);
  const absl::Status status = WritePlan(flags.plan_out, answers.front().answer);
  if (!status.ok()) return Fail(status);
  const absl::Status probe = Probe(flags, answers.front().answer);
  if (!probe.ok()) return Fail(probe);
  const bool any = std::any_of(answers.begin(), answers.end(),
                               [](const auto& headed) { return !headed.answer.ranked().empty(); });
  return any ? kExitOk : kExitNothingFits;
}

int RunRecommend(const Globals& globals, const RecommendFlags& flags) {
  if (const absl::Status status = CheckRuntimeFlags(flags); !status.ok()) return Fail(status);
  absl::StatusOr<AskedQuestion> asked = QuestionFromFlags(flags.question);
  if (!asked.ok()) return Fail(asked.status());
  const absl::Status runtime = SetRuntime(flags.runtime, flags.question.method, asked->question);
  if (!runtime.ok()) return Fail(runtime);
  const absl::Status price = SetPrice(flags.price, asked->question);
  if (!price.ok()) return Fail(price);
  v1::RecommendRequest request;
  *request.mutable_question() = asked->question;
  request.set_ranked_count(flags.top);
  request.set_explain(flags.explain);
  request.set_pareto_count(flags.pareto);
  const auto answers = AskAll(globals, flags, std::move(request));
  if (!answers.ok()) return Fail(answers.status());
  const v1::RecommendResponse& first = answers->front().answer;
  if (first.has_runtime_answer()) return ReportRuntime(flags, asked->notes, first);
  return Report(flags, asked->notes, *answers);
}

int RunEstimate(const Globals& globals, const RecommendFlags& flags) {
  const absl::StatusOr<AskedQuestion> asked = QuestionFromFlags(flags.question);
  if (!asked.ok()) return Fail(asked.status());
  v1::EstimateRequest request;
  *request.mutable_question() = asked->question;
  request.set_mix_line(flags.mix);
  const auto answer = globals.MakeRecommender()->Estimate(request);
  if (!answer.ok()) return Fail(answer.status());
  PrintAnswer(*answer, asked->notes, flags.output, kEstimateForms);
  if (const absl::Status status = WritePlan(flags.plan_out, *answer); !status.ok())
    return Fail(status);
  if (const absl::Status status = Probe(flags, *answer); !status.ok()) return Fail(status);
  return answer->estimate().prediction().fits() ? kExitOk : kExitNothingFits;
}

}  // namespace

void AddRecommend(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand(
      "recommend", "Rank the mixes of optimizations that fine-tune a model on given devices");
  auto flags = std::make_shared<RecommendFlags>();
  AddQuestionFlags(*command, flags->question);
  AddRuntimeFlags(*command, flags->runtime);
  AddClusterFlag(*command, flags->cluster);
  command
      ->add_option("--price", flags->price,
                   "What an hour of a device costs, in any currency: the cost for the data set is "
                   "told then")
      ->check(Positive());
  command
      ->add_option(
          "--top", flags->top,
          "Most mixes in the answer; of any method, the best of each are in it in any case")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--explain", flags->explain,
                    "Tell also what every value that was not chosen would cost");
  command
      ->add_option("--pareto", flags->pareto,
                   "Show also so many mixes for which no other is both quicker and smaller")
      ->check(CLI::Range(1, 1000));
  command->add_flag("--pictures", flags->output.pictures,
                    "Draw bars of memory and the front also where stdout is no terminal");
  command->add_flag("--probe", flags->probe,
                    "Run a step of the chosen mix on this host, to see it beside the prediction");
  command->add_option("--plan-out", flags->plan_out,
                      "Write the chosen mix as a plan, for launch --plan");
  AddOutputFlags(*command, flags->output);
  command->callback([&globals, flags] {
    globals.run = [&globals, flags] { return RunRecommend(globals, *flags); };
  });
}

void AddExport(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand(
      "export", "Write the best mix of another stack as that stack's configuration files");
  auto flags = std::make_shared<RecommendFlags>();
  AddQuestionFlags(*command, flags->question);
  AddRuntimeFlags(*command, flags->runtime);
  for (const char* name : {"--runtime", "--export"}) command->get_option(name)->required();
  command
      ->add_option(
          "--top", flags->top,
          "Most mixes in the answer; of any method, the best of each are in it in any case")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  AddOutputFlags(*command, flags->output);
  command->callback([&globals, flags] {
    globals.run = [&globals, flags] { return RunRecommend(globals, *flags); };
  });
}

void AddEstimate(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand("estimate", "Predict memory and time of one given mix");
  auto flags = std::make_shared<RecommendFlags>();
  AddQuestionFlags(*command, flags->question);
  command->add_option("--mix", flags->mix, "The mix as one line, as recommend prints it")
      ->required();
  command->add_option("--plan-out", flags->plan_out, "Write the mix as a plan, for launch --plan");
  command->add_flag("--probe", flags->probe,
                    "Run a step of it on this host, to see it beside the prediction");
  AddOutputFlags(*command, flags->output);
  command->callback([&globals, flags] {
    globals.run = [&globals, flags] { return RunEstimate(globals, *flags); };
  });
}

}  // namespace tunesmith::client
