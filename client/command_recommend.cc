#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/question_flags.h"
#include "client/runtime_flags.h"
#include "client/show.h"
#include "client/show_runtime.h"
#include "common/status_macros.h"
#include "proto/convert/json.h"

namespace tunesmith::client {
namespace {

struct RecommendFlags {
  QuestionFlags question;
  RuntimeFlags runtime;
  int64_t top = 8;
  std::string mix;
  std::string plan_out;
  bool explain = false;
  int64_t pareto = 0;
  Format format = Format::kTable;
};

void PrintNotes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) std::fprintf(stderr, "note: %s\n", note.c_str());
}

// In a table the notes are part of the answer; with JSON they go to stderr, since they are the client's.
template <typename Answer>
void Print(const Answer& answer, const std::vector<std::string>& notes, Format format,
           std::string (*show)(const Answer&, const std::vector<std::string>&)) {
  if (format == Format::kTable) {
    std::fputs(show(answer, notes).c_str(), stdout);
    return;
  }
  PrintNotes(notes);
  std::puts(convert::ToJson(answer).c_str());
}

absl::Status WritePlan(const std::string& path, const auto& answer) {
  if (path.empty() || !answer.has_plan()) return absl::OkStatus();
  TUNESMITH_RETURN_IF_ERROR(convert::WriteJsonFile(path, answer.plan()));
  std::fprintf(stderr, "plan written to %s\n", path.c_str());
  return absl::OkStatus();
}

std::string ShowRuntime(const v1::RecommendResponse& answer,
                        const std::vector<std::string>& notes) {
  return ShowRuntimeAnswer(answer.runtime_answer(), notes);
}

int ReportRuntime(const RecommendFlags& flags, const std::vector<std::string>& notes,
                  const v1::RecommendResponse& answer) {
  Print(answer, notes, flags.format, ShowRuntime);
  const absl::Status status =
      WriteRuntimeFiles(flags.runtime.export_directory, answer.runtime_answer());
  if (!status.ok()) return Fail(status);
  return answer.runtime_answer().ranked().empty() ? kExitNothingFits : kExitOk;
}

// Flags whose answer only the planner of the bundled trainer gives.
absl::Status CheckRuntimeFlags(const RecommendFlags& flags) {
  if (flags.runtime.runtime.empty()) return absl::OkStatus();
  const bool trainer_only = flags.explain || flags.pareto > 0 || !flags.plan_out.empty();
  if (!trainer_only) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--explain, --pareto and --plan-out are for the bundled trainer; with --runtime, --export "
      "writes that stack's configuration");
}

int RunRecommend(const Globals& globals, const RecommendFlags& flags) {
  if (const absl::Status status = CheckRuntimeFlags(flags); !status.ok()) return Fail(status);
  absl::StatusOr<AskedQuestion> asked = QuestionFromFlags(flags.question);
  if (!asked.ok()) return Fail(asked.status());
  const absl::Status runtime = SetRuntime(flags.runtime, flags.question.method, asked->question);
  if (!runtime.ok()) return Fail(runtime);
  v1::RecommendRequest request;
  *request.mutable_question() = asked->question;
  request.set_ranked_count(flags.top);
  request.set_explain(flags.explain);
  request.set_pareto_count(flags.pareto);
  const auto answer = globals.MakeRecommender()->Recommend(request);
  if (!answer.ok()) return Fail(answer.status());
  if (answer->has_runtime_answer()) return ReportRuntime(flags, asked->notes, *answer);
  Print(*answer, asked->notes, flags.format, ShowRecommendation);
  if (const absl::Status status = WritePlan(flags.plan_out, *answer); !status.ok())
    return Fail(status);
  return answer->ranked().empty() ? kExitNothingFits : kExitOk;
}

int RunEstimate(const Globals& globals, const RecommendFlags& flags) {
  const absl::StatusOr<AskedQuestion> asked = QuestionFromFlags(flags.question);
  if (!asked.ok()) return Fail(asked.status());
  v1::EstimateRequest request;
  *request.mutable_question() = asked->question;
  request.set_mix_line(flags.mix);
  const auto answer = globals.MakeRecommender()->Estimate(request);
  if (!answer.ok()) return Fail(answer.status());
  Print(*answer, asked->notes, flags.format, ShowEstimate);
  if (const absl::Status status = WritePlan(flags.plan_out, *answer); !status.ok())
    return Fail(status);
  return answer->estimate().prediction().fits() ? kExitOk : kExitNothingFits;
}

}  // namespace

void AddRecommend(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand(
      "recommend", "Rank the mixes of optimizations that fine-tune a model on given devices");
  auto flags = std::make_shared<RecommendFlags>();
  AddQuestionFlags(*command, flags->question);
  AddRuntimeFlags(*command, flags->runtime);
  command->add_option("--top", flags->top, "Most mixes in the answer")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--explain", flags->explain,
                    "Tell also what every value that was not chosen would cost");
  command
      ->add_option("--pareto", flags->pareto,
                   "Show also so many mixes for which no other is both quicker and smaller")
      ->check(CLI::Range(1, 1000));
  command->add_option("--plan-out", flags->plan_out,
                      "Write the chosen mix as a plan, for launch --plan");
  AddFormatFlag(*command, flags->format);
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
  AddFormatFlag(*command, flags->format);
  command->callback([&globals, flags] {
    globals.run = [&globals, flags] { return RunEstimate(globals, *flags); };
  });
}

}  // namespace tunesmith::client
