// explain, compare and report: what stands behind a plan.

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <map>
#include <memory>

#include "client/commands.h"
#include "client/comparison.h"
#include "client/exit_codes.h"
#include "client/listings.h"
#include "client/plan_question.h"
#include "client/print_answer.h"
#include "client/question_flags.h"
#include "client/report_page.h"
#include "client/show_explanation.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"

namespace tunesmith::client {
namespace {

// Enough to see where the front bends.
constexpr int64_t kFrontCount = 16;

struct ExplainFlags {
  QuestionFlags question;
  std::vector<std::string> plans;
  std::vector<std::string> mixes;
  std::string job;
  std::string html;
  Output output;
};

absl::StatusOr<v1::Plan> ReadPlan(const std::string& path) {
  v1::Plan plan;
  TUNESMITH_RETURN_IF_ERROR(convert::ReadJsonFile(path, &plan));
  if (!plan.has_inputs())
    return absl::InvalidArgumentError(
        StrCat(path, " is not a plan; recommend --plan-out writes one"));
  return plan;
}

// Of the plan that is given, else of the flags.
absl::StatusOr<AskedQuestion> QuestionOf(const ExplainFlags& flags) {
  if (flags.plans.empty()) return QuestionFromFlags(flags.question);
  TUNESMITH_ASSIGN_OR_RETURN(const v1::Plan plan, ReadPlan(flags.plans.front()));
  return AskedQuestion{.question = QuestionOfPlan(plan.inputs()), .notes = {}};
}

absl::StatusOr<v1::RecommendResponse> Explained(Recommender& recommender,
                                                const v1::Question& question) {
  v1::RecommendRequest request;
  *request.mutable_question() = question;
  request.set_explain(true);
  request.set_pareto_count(kFrontCount);
  return recommender.Recommend(request);
}

std::string ShowExplained(const Output&, const v1::RecommendResponse& answer,
                          const std::vector<std::string>& notes) {
  if (answer.ranked().empty()) return ShowRecommendation({}, answer, notes);
  return StrCat(answer.ranked(0).mix_line(), "\nchosen: ", answer.choice_rule(), "\n\n",
                ShowPrediction(answer.ranked(0)), ShowExplanation(answer.explanation()),
                ShowNotes(notes));
}

constexpr AnswerForms<v1::RecommendResponse> kExplainForms = {
    ShowExplained,
    [](const v1::RecommendResponse& answer) { return AlternativeListing(answer.explanation()); }};

int RunExplain(const Globals& globals, const ExplainFlags& flags) {
  const absl::StatusOr<AskedQuestion> asked = QuestionOf(flags);
  if (!asked.ok()) return Fail(asked.status());
  const auto answer = Explained(*globals.MakeRecommender(), asked->question);
  if (!answer.ok()) return Fail(answer.status());
  PrintAnswer(*answer, asked->notes, flags.output, kExplainForms);
  return answer->ranked().empty() ? kExitNothingFits : kExitOk;
}

absl::StatusOr<v1::RankedMix> EstimateOf(Recommender& recommender, v1::EstimateRequest request) {
  TUNESMITH_ASSIGN_OR_RETURN(const v1::EstimateResponse answer, recommender.Estimate(request));
  return answer.estimate();
}

absl::StatusOr<v1::RankedMix> EstimateOfPlan(Recommender& recommender, const v1::Plan& plan) {
  v1::EstimateRequest request;
  *request.mutable_question() = QuestionOfPlan(plan.inputs());
  *request.mutable_mix() = plan.mix();
  return EstimateOf(recommender, std::move(request));
}

// Plans first, each with its own question; then mixes of the question that the flags ask.
absl::StatusOr<std::vector<ComparedMix>> MixesToCompare(Recommender& recommender,
                                                        const ExplainFlags& flags) {
  std::vector<ComparedMix> compared;
  for (const std::string& path : flags.plans) {
    TUNESMITH_ASSIGN_OR_RETURN(const v1::Plan plan, ReadPlan(path));
    TUNESMITH_ASSIGN_OR_RETURN(v1::RankedMix mix, EstimateOfPlan(recommender, plan));
    compared.push_back({path, std::move(mix)});
  }
  if (!flags.mixes.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(const AskedQuestion asked, QuestionFromFlags(flags.question));
    for (const std::string& line : flags.mixes) {
      v1::EstimateRequest request;
      *request.mutable_question() = asked.question;
      request.set_mix_line(line);
      TUNESMITH_ASSIGN_OR_RETURN(v1::RankedMix mix, EstimateOf(recommender, std::move(request)));
      compared.push_back({StrCat("mix ", compared.size() + 1), std::move(mix)});
    }
  }
  if (compared.size() >= 2) return compared;
  return absl::InvalidArgumentError(
      "there is nothing to compare; give at least two of --plan FILE and --mix LINE");
}

int RunCompare(const Globals& globals, const ExplainFlags& flags) {
  const auto compared = MixesToCompare(*globals.MakeRecommender(), flags);
  if (!compared.ok()) return Fail(compared.status());
  const Listing listing = ComparisonListing(*compared);
  PrintJson(flags.output, ComparisonJson(*compared), listing, TextOf(flags.output, listing));
  return kExitOk;
}

// What is stored of a job; a running one is not waited for.
absl::StatusOr<std::vector<v1::Event>> EventsOf(JobClient& jobs, const v1::Job& job) {
  std::vector<v1::Event> events;
  std::atomic<int64_t> seen{0};
  const auto watched = jobs.Watch(
      job.name(), 0,
      [&](const v1::WatchJobResponse& update) {
        if (!update.has_event() || update.event().sequence() > job.last_sequence()) return;
        events.push_back(update.event());
        seen = update.event().sequence();
      },
      [&] { return seen >= job.last_sequence(); });
  if (!watched.ok() && !absl::IsCancelled(watched.status())) return watched.status();
  return events;
}

absl::StatusOr<ReportInput> ReportOf(Recommender& recommender, const v1::Plan& plan) {
  ReportInput input = {.inputs = plan.inputs(), .mix = {}, .answer = {}, .job = {}, .events = {}};
  TUNESMITH_ASSIGN_OR_RETURN(input.mix, EstimateOfPlan(recommender, plan));
  TUNESMITH_ASSIGN_OR_RETURN(input.answer, Explained(recommender, QuestionOfPlan(plan.inputs())));
  // What was predicted when the plan was made is what measurements are held against.
  if (plan.has_prediction()) *input.mix.mutable_prediction() = plan.prediction();
  return input;
}

absl::StatusOr<ReportInput> ReportOf(const Globals& globals, const ExplainFlags& flags) {
  const std::unique_ptr<Recommender> recommender = globals.MakeRecommender();
  if (flags.job.empty()) {
    if (flags.plans.empty())
      return absl::InvalidArgumentError("name a job, or a plan by --plan FILE");
    TUNESMITH_ASSIGN_OR_RETURN(const v1::Plan plan, ReadPlan(flags.plans.front()));
    return ReportOf(*recommender, plan);
  }
  const std::unique_ptr<JobClient> jobs = MakeJobClient(globals.Options());
  TUNESMITH_ASSIGN_OR_RETURN(const v1::Job job, jobs->Get(FullJobName(flags.job)));
  TUNESMITH_ASSIGN_OR_RETURN(ReportInput input, ReportOf(*recommender, job.plan()));
  TUNESMITH_ASSIGN_OR_RETURN(input.events, EventsOf(*jobs, job));
  input.job = job;
  return input;
}

int RunReport(const Globals& globals, const ExplainFlags& flags) {
  const absl::StatusOr<ReportInput> input = ReportOf(globals, flags);
  if (!input.ok()) return Fail(input.status());
  const absl::Status written = WriteFileAtomically(flags.html, ReportPage(*input));
  if (!written.ok()) return Fail(written);
  std::fprintf(stderr, "report written to %s\n", flags.html.c_str());
  return kExitOk;
}

}  // namespace

void AddExplain(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand(
      "explain", "Tell why a mix is chosen, and what every value that was not would cost");
  auto flags = std::make_shared<ExplainFlags>();
  AddQuestionFlags(*command, flags->question);
  command->add_option("--plan", flags->plans, "The question of this plan, instead of flags")
      ->expected(1)
      ->excludes("--model");
  AddOutputFlags(*command, flags->output);
  command->callback([&globals, flags] {
    globals.run = [&globals, flags] { return RunExplain(globals, *flags); };
  });
}

void AddCompare(CLI::App& app, Globals& globals) {
  CLI::App* command =
      app.add_subcommand("compare", "Put plans, or mixes for one question, side by side");
  auto flags = std::make_shared<ExplainFlags>();
  AddQuestionFlags(*command, flags->question);
  command->add_option("--plan", flags->plans, "Plan file of recommend --plan-out; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--mix", flags->mixes, "Mix as one line; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  AddOutputFlags(*command, flags->output);
  command->callback([&globals, flags] {
    globals.run = [&globals, flags] { return RunCompare(globals, *flags); };
  });
}

void AddReport(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand(
      "report", "Write a plan or a job as one HTML page: memory, time, choices, curves");
  auto flags = std::make_shared<ExplainFlags>();
  CLI::Option* job = command->add_option("JOB", flags->job, "jobs/job-7, job-7 or 7");
  command->add_option("--plan", flags->plans, "Plan file, instead of a job")
      ->expected(1)
      ->excludes(job);
  command->add_option("--html", flags->html, "The file to write")->required();
  command->callback([&globals, flags] {
    globals.run = [&globals, flags] { return RunReport(globals, *flags); };
  });
}

}  // namespace tunesmith::client
