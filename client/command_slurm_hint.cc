#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "absl/strings/ascii.h"
#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/positive.h"
#include "client/question_flags.h"
#include "client/slurm_comment.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"

// What the hooks of deploy/slurm ask when a job is submitted: one line of names and whole numbers, for programs without a JSON parser.
namespace tunesmith::client {
namespace {

constexpr double kSecondsPerMinute = 60;
constexpr int64_t kMebibyte = int64_t{1} << 20;

struct HintFlags {
  std::string comment;
  std::string gpu;
  int64_t devices_per_node = 8;
  int64_t most_devices = 64;
  std::string plan_out;
};

// People write names of models as they speak: "llama-2-7b" is Llama-2-7b-hf.
absl::StatusOr<std::string> ModelName(Recommender& recommender, const std::string& asked) {
  TUNESMITH_ASSIGN_OR_RETURN(const v1::ListModelsResponse models, recommender.ListModels());
  const std::string wanted = absl::AsciiStrToLower(asked);
  for (const v1::ModelSpec& model : models.models()) {
    const std::string name = absl::AsciiStrToLower(model.name());
    if (name == wanted || name == wanted + "-hf") return model.name();
  }
  return asked;
}

absl::StatusOr<v1::SizeRequest> RequestOf(Recommender& recommender, const HintFlags& flags) {
  TUNESMITH_ASSIGN_OR_RETURN(QuestionFlags question, ParseSlurmComment(flags.comment));
  TUNESMITH_ASSIGN_OR_RETURN(question.model, ModelName(recommender, question.model));
  TUNESMITH_ASSIGN_OR_RETURN(const AskedQuestion asked, QuestionFromFlags(question));
  v1::SizeRequest request;
  *request.mutable_question() = asked.question;
  request.mutable_question()->clear_devices();
  v1::DeviceCountsAsked& counts = *request.mutable_device_counts();
  v1::SizeKind& kind = *counts.add_kinds();
  kind.set_device_name(flags.gpu);
  kind.set_devices_per_node(flags.devices_per_node);
  counts.set_most_device_count(flags.most_devices);
  return request;
}

// The upper end of what is predicted, so that a limit made of it is not too short; 0: the data set's size was not told.
int64_t MinutesOf(const v1::TimePrediction& time) {
  const double slower = time.step_seconds() > 0 ? time.high_seconds() / time.step_seconds() : 1;
  return static_cast<int64_t>(
      std::ceil(time.total_hours() * kSecondsPerMinute * std::max(1.0, slower)));
}

std::string LineOf(const v1::Plan& plan) {
  const v1::DeviceGroup& devices = plan.inputs().devices();
  const int64_t nodes = std::max<int64_t>(1, devices.node_count());
  const int64_t per_node = devices.device_count() / nodes;
  const int64_t bytes = plan.prediction().memory().host_bytes() * per_node;
  return StrCat("nodes=", nodes, " gpus_per_node=", per_node,
                " memory_mib=", (bytes + kMebibyte - 1) / kMebibyte,
                " minutes=", MinutesOf(plan.prediction().time()), "\n");
}

int RunHint(const Globals& globals, const HintFlags& flags) {
  const std::unique_ptr<Recommender> recommender = globals.MakeRecommender();
  const auto request = RequestOf(*recommender, flags);
  if (!request.ok()) return Fail(request.status());
  const auto answer = recommender->Size(*request);
  if (!answer.ok()) return Fail(answer.status());
  if (!answer->device_counts().has_plan()) {
    std::fprintf(stderr, "tunesmith: %s\n", answer->device_counts().choice_rule().c_str());
    return kExitNothingFits;
  }
  const v1::Plan& plan = answer->device_counts().plan();
  if (!flags.plan_out.empty()) {
    const absl::Status written = convert::WriteJsonFile(flags.plan_out, plan);
    if (!written.ok()) return Fail(written);
  }
  std::fputs(LineOf(plan).c_str(), stdout);
  return kExitOk;
}

}  // namespace

void AddSlurmHint(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand(
      "slurm-hint", "For hooks of Slurm: what a job with this comment should ask for, as one line");
  auto flags = std::make_shared<HintFlags>();
  command
      ->add_option("--comment", flags->comment,
                   "As sbatch --comment=tunesmith:model=NAME,context=N")
      ->required();
  command->add_option("--gpu", flags->gpu, "Kind of the cluster's GPUs, such as H100")->required();
  command->add_option("--devices-per-node", flags->devices_per_node, "GPUs of a node")
      ->check(Positive())
      ->capture_default_str();
  command->add_option("--max-devices", flags->most_devices, "Most GPUs for a job")
      ->check(Positive())
      ->capture_default_str();
  command->add_option("--plan-out", flags->plan_out, "Write the plan that the line is from");
  command->callback(
      [&globals, flags] { globals.run = [&globals, flags] { return RunHint(globals, *flags); }; });
}

}  // namespace tunesmith::client
