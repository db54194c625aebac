#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/listings.h"
#include "client/positive.h"
#include "client/question_flags.h"
#include "client/show.h"
#include "common/duration.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"

namespace tunesmith::client {
namespace {

struct LaunchFlags {
  QuestionFlags question;
  std::string plan;
  std::optional<double> learning_rate;
  std::optional<double> max_gradient_norm;
  std::optional<int64_t> random_weights_seed;
  std::optional<int64_t> sample_tokens;
  std::string schedule = "cosine";
  std::string evaluation;
  double evaluation_share = 0;
  std::string data_format = "auto";
  std::string long_rows = "cut";
  std::string chat_template;
  std::string output;
  std::vector<std::string> sample_prompts;
  int64_t steps = 0;
  int64_t warmup = 0;
  int64_t seed = 0;
  double weight_decay = 0;
  int64_t checkpoint_every = 0;
  int64_t evaluate_every = 0;
  int64_t keep_checkpoints = 1;
  bool keep_best = false;
  bool merges = false;
  int64_t patience = 0;
  double least_improvement = 0;
  double most_loss_spike = 0;
  int64_t threads = 0;
  bool skip_bad_rows = false;
  bool watch = false;
  bool wait = false;
  std::string request_id;
  std::string cluster;
  v1::SlurmOptions slurm;
  std::string time_limit;
  std::vector<std::string> slurm_options;
  bool validate_only = false;
  Output printed;
};

const std::map<std::string, v1::Schedule>& Schedules() {
  static const auto* const schedules =
      new std::map<std::string, v1::Schedule>{{"constant", v1::SCHEDULE_CONSTANT},
                                              {"linear", v1::SCHEDULE_LINEAR},
                                              {"cosine", v1::SCHEDULE_COSINE}};
  return *schedules;
}

const std::map<std::string, v1::DataFormat>& DataFormats() {
  static const auto* const formats = new std::map<std::string, v1::DataFormat>{
      {"auto", v1::DATA_FORMAT_UNSPECIFIED},
      {"text", v1::DATA_FORMAT_TEXT},
      {"prompt-completion", v1::DATA_FORMAT_PROMPT_COMPLETION},
      {"messages", v1::DATA_FORMAT_MESSAGES},
      {"sharegpt", v1::DATA_FORMAT_SHAREGPT},
      {"alpaca", v1::DATA_FORMAT_ALPACA}};
  return *formats;
}

void AddDataFlags(CLI::App& app, LaunchFlags& flags) {
  app.add_option("--data-format", flags.data_format,
                 "What the rows look like: text, prompt-completion, messages, sharegpt or alpaca; "
                 "auto: as the first row tells")
      ->check(
          CLI::IsMember({"auto", "text", "prompt-completion", "messages", "sharegpt", "alpaca"}))
      ->capture_default_str();
  app.add_option("--chat-template", flags.chat_template,
                 "Jinja file to write conversations by; the model's own by default");
  app.add_option("--long-rows", flags.long_rows,
                 "What becomes of rows longer than the context: cut or drop")
      ->check(CLI::IsMember({"cut", "drop"}))
      ->capture_default_str();
  app.add_option("--eval", flags.evaluation, "Held-out JSONL file");
  app.add_option("--eval-share", flags.evaluation_share,
                 "Share of the data set to hold out and evaluate, such as 0.05")
      ->check(CLI::Range(0.0, 0.99))
      ->excludes("--eval");
  app.add_flag("--skip-bad-rows", flags.skip_bad_rows,
               "Count rows that cannot be used instead of failing");
}

void AddTrainingFlags(CLI::App& app, LaunchFlags& flags) {
  app.add_option("--steps", flags.steps, "Optimizer steps; else as many as --epochs take")
      ->check(Positive());
  app.add_option("--learning-rate", flags.learning_rate,
                 "Peak learning rate; 2e-4 for LoRA, 1e-5 for full fine-tuning by default")
      ->check(Positive());
  app.add_option("--schedule", flags.schedule,
                 "How the learning rate goes: constant, linear or cosine")
      ->check(CLI::IsMember({"constant", "linear", "cosine"}))
      ->capture_default_str();
  app.add_option("--warmup", flags.warmup, "Steps over which the learning rate rises")
      ->check(NotNegative());
  app.add_option("--weight-decay", flags.weight_decay, "Decoupled weight decay")
      ->check(NotNegative());
  app.add_option("--max-gradient-norm", flags.max_gradient_norm,
                 "Gradients are scaled down to this norm; 0: never; 1 by default")
      ->check(NotNegative());
  app.add_option("--seed", flags.seed, "Seed of all randomness");
  app.add_option("--random-weights", flags.random_weights_seed,
                 "Draw the weights with this seed instead of reading them");
}

void AddJobFlags(CLI::App& app, LaunchFlags& flags) {
  app.add_option("--plan", flags.plan,
                 "Plan file of recommend --plan-out, instead of asking for a plan");
  app.add_option("--output", flags.output,
                 "Directory for the adapter or model; in the run directory by default");
  app.add_flag("--merge", flags.merges,
               "LoRA and QLoRA: also write the model with the adapter added, into merged/");
  app.add_option("--checkpoint-every", flags.checkpoint_every, "Steps between checkpoints")
      ->check(Positive());
  app.add_option("--keep-checkpoints", flags.keep_checkpoints, "Newest checkpoints that are kept")
      ->check(Positive())
      ->capture_default_str();
  app.add_option("--eval-every", flags.evaluate_every, "Steps between evaluations")
      ->check(Positive());
  app.add_flag("--keep-best", flags.keep_best,
               "Keep the checkpoint of the best evaluation, and write its model at the end");
  CLI::Option* patience = app.add_option(
      "--patience", flags.patience,
      "End early when so many evaluations in a row were no improvement; needs --eval-every");
  patience->check(Positive())->needs("--eval-every");
  app.add_option("--least-improvement", flags.least_improvement,
                 "By how much the loss must fall to count as an improvement, nats per token")
      ->check(NotNegative())
      ->needs(patience);
  app.add_option("--fail-on-spike", flags.most_loss_spike,
                 "Fail at a step whose loss is above so many times the median of the last 16; a "
                 "warning is given from 2 on")
      ->check(CLI::Range(1.01, 1e6));
  app.add_option("--sample-prompt", flags.sample_prompts,
                 "Prompt to answer before and after; may be repeated");
  app.add_option("--sample-tokens", flags.sample_tokens, "Longest answer, tokens")
      ->check(Positive());
  app.add_option("--threads", flags.threads, "Threads for computing; one per core by default")
      ->check(Positive());
  CLI::Option* watch = app.add_flag("--watch", flags.watch, "Follow the job to its end");
  app.add_flag("--wait", flags.wait,
               "Wait for the job's end in silence; its result is the exit status")
      ->excludes(watch);
  app.add_option("--request-id", flags.request_id,
                 "Repeating a launch with the same id gives the same job");
  app.add_flag("--validate-only,--dry-run", flags.validate_only,
               "Check, and print what would be submitted, without doing it");
  app.add_option("--cluster", flags.cluster,
                 "Where to run, as `clusters` lists them; the server's first by default");
}

// What Slurm is asked; the server has defaults.
void AddSlurmFlags(CLI::App& app, LaunchFlags& flags) {
  const auto text = [&](const char* flag, const char* help, auto set) {
    app.add_option_function<std::string>(
        flag, [&flags, set](const std::string& value) { (flags.slurm.*set)(value); }, help);
  };
  text("--partition", "Slurm's partition", &v1::SlurmOptions::set_partition<const std::string&>);
  text("--account", "Account that Slurm charges",
       &v1::SlurmOptions::set_account<const std::string&>);
  text("--qos", "Slurm's quality of service", &v1::SlurmOptions::set_qos<const std::string&>);
  app.add_option("--time-limit", flags.time_limit,
                 "How long Slurm may run an attempt, as 4h or 1d12h; before it ends the job saves, "
                 "and is queued again to go on");
  app.add_option("--slurm-option", flags.slurm_options,
                 "Further option of sbatch, as constraint=a100; may be repeated");
}

std::string Absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

absl::Status RequireFile(const char* flag, const std::string& path) {
  std::error_code error;
  if (path.empty() || std::filesystem::exists(path, error)) return absl::OkStatus();
  return absl::NotFoundError(StrCat(flag, " ", path, ": there is no such file or directory"));
}

v1::Training TrainingOf(const LaunchFlags& flags) {
  v1::Training training;
  if (flags.learning_rate) training.set_learning_rate(*flags.learning_rate);
  if (flags.max_gradient_norm) training.set_max_gradient_norm(*flags.max_gradient_norm);
  training.set_schedule(Schedules().at(flags.schedule));
  training.set_warmup_step_count(flags.warmup);
  training.set_weight_decay(flags.weight_decay);
  training.set_step_count(flags.steps);
  training.set_epoch_count(flags.question.epochs);
  training.set_seed(flags.seed);
  return training;
}

absl::StatusOr<v1::JobSpec> SpecOf(const LaunchFlags& flags) {
  if (flags.question.model.empty())
    return absl::InvalidArgumentError("--model is missing; name a model directory or a .gguf file");
  if (flags.question.dataset.empty())
    return absl::InvalidArgumentError("--dataset is missing; name a JSONL file");
  if ((flags.keep_best || flags.patience > 0) && flags.evaluation.empty() &&
      flags.evaluation_share == 0) {
    return absl::InvalidArgumentError(
        StrCat(flags.keep_best ? "--keep-best" : "--patience",
               " needs held-out data; give --eval FILE or --eval-share SHARE"));
  }
  std::error_code error;
  if (!std::filesystem::exists(flags.question.model, error)) {
    return absl::NotFoundError(StrCat("--model ", flags.question.model,
                                      ": launch needs the model's files; name a directory with "
                                      "config.json and model.safetensors, or a .gguf file"));
  }
  TUNESMITH_RETURN_IF_ERROR(RequireFile("--dataset", flags.question.dataset));
  TUNESMITH_RETURN_IF_ERROR(RequireFile("--eval", flags.evaluation));
  TUNESMITH_RETURN_IF_ERROR(RequireFile("--chat-template", flags.chat_template));
  v1::JobSpec spec;
  spec.set_model_path(Absolute(flags.question.model));
  if (flags.random_weights_seed) spec.set_random_weights_seed(*flags.random_weights_seed);
  spec.set_dataset_path(Absolute(flags.question.dataset));
  spec.set_evaluation_path(Absolute(flags.evaluation));
  spec.set_evaluation_share(flags.evaluation_share);
  spec.set_data_format(DataFormats().at(flags.data_format));
  spec.set_long_rows(flags.long_rows == "drop" ? v1::LONG_ROWS_DROP : v1::LONG_ROWS_CUT);
  spec.set_chat_template_path(Absolute(flags.chat_template));
  spec.set_output_dir(Absolute(flags.output));
  *spec.mutable_training() = TrainingOf(flags);
  spec.set_checkpoint_every_step_count(flags.checkpoint_every);
  spec.set_evaluate_every_step_count(flags.evaluate_every);
  spec.set_kept_checkpoint_count(flags.keep_checkpoints);
  spec.set_keep_best(flags.keep_best);
  spec.set_merge_output(flags.merges);
  spec.set_patience_evaluation_count(flags.patience);
  spec.set_least_improvement(flags.least_improvement);
  spec.set_most_loss_spike(flags.most_loss_spike);
  spec.set_skip_bad_rows(flags.skip_bad_rows);
  for (const std::string& prompt : flags.sample_prompts) spec.add_sample_prompts(prompt);
  if (flags.sample_tokens) spec.set_sample_token_count(*flags.sample_tokens);
  spec.set_thread_count(flags.threads);
  return spec;
}

absl::StatusOr<v1::SlurmOptions> SlurmOf(const LaunchFlags& flags) {
  v1::SlurmOptions slurm = flags.slurm;
  if (!flags.time_limit.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(const double seconds, ParseDurationSeconds(flags.time_limit));
    slurm.mutable_time_limit()->set_seconds(static_cast<int64_t>(seconds));
  }
  for (const std::string& option : flags.slurm_options) slurm.add_options(option);
  return slurm;
}

absl::Status RequireAdapterToMerge(const v1::Plan& plan, bool merges) {
  if (!merges || plan.mix().method() != v1::METHOD_FULL) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--merge adds an adapter to its model, and full fine-tuning makes none: it writes the whole "
      "model anyway; leave --merge out, or choose --method lora or qlora");
}

absl::Status RequireGenerationToSample(const v1::Plan& plan, const LaunchFlags& flags) {
  if (flags.sample_prompts.empty() || plan.inputs().workload().generates()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("--sample-prompt: the plan ", flags.plan,
             " has no room for generation; make it with recommend --generate"));
}

// The plan of --plan, or the choice of a recommendation; none when nothing fits, which was then said.
absl::StatusOr<std::optional<v1::Plan>> PlanOf(const Globals& globals, const LaunchFlags& flags) {
  v1::Plan plan;
  if (!flags.plan.empty()) {
    TUNESMITH_RETURN_IF_ERROR(convert::ReadJsonFile(flags.plan, &plan));
    TUNESMITH_RETURN_IF_ERROR(RequireGenerationToSample(plan, flags));
    return plan;
  }
  TUNESMITH_ASSIGN_OR_RETURN(AskedQuestion asked, QuestionFromFlags(flags.question));
  // What the job does not do takes no memory.
  asked.question.mutable_workload()->set_evaluates(!flags.evaluation.empty() ||
                                                   flags.evaluation_share > 0);
  if (!flags.sample_prompts.empty()) asked.question.mutable_workload()->set_generates(true);
  v1::RecommendRequest request;
  *request.mutable_question() = asked.question;
  TUNESMITH_ASSIGN_OR_RETURN(const v1::RecommendResponse answer,
                             globals.MakeRecommender()->Recommend(request));
  std::fputs(ShowRecommendation(flags.printed, answer, asked.notes).c_str(), stderr);
  if (!answer.has_plan()) return std::nullopt;
  return answer.plan();
}

// One record: what would be submitted has no rows.
int PrintSubmission(const v1::CreateJobResponse& made, const Output& output) {
  Listing records({{"launcher", "launcher"}, {"outlook", "outlook"}}, "launcher");
  records.AddRow({made.submission().launcher(), made.submission().outlook()});
  Print(output, made, records, output.IsText() ? ShowSubmission(made.submission()) : "");
  return kExitOk;
}

int RunLaunch(const Globals& globals, const LaunchFlags& flags) {
  const absl::StatusOr<v1::JobSpec> spec = SpecOf(flags);
  if (!spec.ok()) return Fail(spec.status());
  const auto plan = PlanOf(globals, flags);
  if (!plan.ok()) return Fail(plan.status());
  if (!plan->has_value()) return kExitNothingFits;
  if (const absl::Status status = RequireAdapterToMerge(**plan, flags.merges); !status.ok())
    return Fail(status);
  v1::CreateJobRequest request;
  *request.mutable_plan() = **plan;
  *request.mutable_spec() = *spec;
  request.set_request_id(flags.request_id);
  const absl::StatusOr<v1::SlurmOptions> slurm = SlurmOf(flags);
  if (!slurm.ok()) return Fail(slurm.status());
  if (slurm->ByteSizeLong() > 0) *request.mutable_slurm() = *slurm;
  const std::unique_ptr<JobClient> jobs = MakeJobClient(globals.Options());
  request.set_validate_only(flags.validate_only);
  request.set_cluster(flags.cluster);
  const absl::StatusOr<v1::CreateJobResponse> made = jobs->Create(request);
  if (!made.ok()) return Fail(made.status());
  if (flags.validate_only) return PrintSubmission(*made, flags.printed);
  const v1::Job& job = made->job();
  std::fprintf(stderr, "%s created\n", job.name().c_str());
  if (flags.watch || flags.wait)
    return FollowAndReport(*jobs, job.name(), {.quiet = flags.wait}, flags.printed);
  Print(flags.printed, job, ListingOf(JobListing, job), job.name() + "\n");
  return kExitOk;
}

}  // namespace

void AddLaunch(CLI::App& app, Globals& globals) {
  CLI::App* command =
      app.add_subcommand("launch", "Fine-tune a model on the server's host, or on its cluster");
  auto flags = std::make_shared<LaunchFlags>();
  AddQuestionFlags(*command, flags->question);
  AddDataFlags(*command, *flags);
  AddTrainingFlags(*command, *flags);
  AddJobFlags(*command, *flags);
  AddSlurmFlags(*command, *flags);
  AddOutputFlags(*command, flags->printed);
  command->callback([&globals, flags] {
    globals.run = [&globals, flags] { return RunLaunch(globals, *flags); };
  });
}

}  // namespace tunesmith::client
