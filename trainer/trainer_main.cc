// tunesmith-trainer: trains and evaluates. `run` is started by tunesmithd's shim, or by hand on a run directory.
#include <CLI/CLI.hpp>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>

#include "common/model_flags.h"
#include "common/status_macros.h"
#include "trainer/job/convert_model.h"
#include "trainer/job/evaluate.h"
#include "trainer/job/run_job.h"

namespace tunesmith::trainer {
namespace {

std::atomic<bool> stop{false};

int Run(const std::string& run_directory) {
  // The handler only sets a lock-free flag; a second signal kills.
  struct sigaction action = {};
  action.sa_handler = [](int) { stop = true; };
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGUSR1, &action, nullptr);  // what mpirun passes on to its ranks
  const v1::JobExit exit = RunJob(run_directory, stop);
  if (!exit.reason().empty())
    std::fprintf(stderr, "tunesmith-trainer: %s\n", exit.reason().c_str());
  return static_cast<int>(exit.exit_code());
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "tunesmith-trainer: %s\n", std::string(status.message()).c_str());
  return 1;
}

std::optional<BaseForm> FormNamed(const std::string& name) {
  if (name == "auto") return std::nullopt;
  return BaseFormFromName(name);
}

int Convert(const ConvertFlags& flags) {
  const absl::Status status =
      ConvertModel({.model_path = flags.model,
                    .output_path = flags.output,
                    .dtype = flags.dtype == "f32" ? DType::kF32 : DType::kBF16,
                    .shard_bytes = static_cast<int64_t>(flags.shard_gigabytes * 1e9),
                    .adapter_path = flags.adapter,
                    .base_form = FormNamed(flags.base.base),
                    .any_base = flags.base.any_base});
  if (!status.ok()) return Fail(status);
  std::printf("wrote %s\n", flags.output.c_str());
  return 0;
}

absl::StatusOr<EvaluateOptions> OptionsOf(const EvaluateFlags& flags) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::optional<RowFormat> format,
                             RowFormatNamed(flags.data_format));
  EvaluateOptions options = {.model_path = flags.model,
                             .adapter_path = flags.adapter,
                             .dataset_path = flags.dataset,
                             .context = flags.context,
                             .device = flags.device,
                             .thread_count = flags.thread_count,
                             .data = {},
                             .base_form = FormNamed(flags.base.base),
                             .any_base = flags.base.any_base};
  options.data.format = format;
  options.data.skips_bad_rows = flags.skips_bad_rows;
  options.data.chat_template_path = flags.chat_template;
  return options;
}

int Evaluate(const EvaluateFlags& flags) {
  const absl::StatusOr<EvaluateOptions> options = OptionsOf(flags);
  if (!options.ok()) return Fail(options.status());
  absl::StatusOr<Evaluation> evaluation = SetUpEvaluation(*options);
  if (!evaluation.ok()) return Fail(evaluation.status());
  const absl::StatusOr<EvaluationResult> result = Evaluate(*evaluation);
  if (!result.ok()) return Fail(result.status());
  const std::string form(BaseFormName(evaluation->base_form));
  const long long tokens = result->predicted_token_count;
  const double perplexity = std::exp(result->mean_loss);
  if (flags.output == "json") {
    std::printf(
        "{\"token_count\": %lld, \"mean_loss\": %.9g, \"perplexity\": %.9g, \"base\": \"%s\"}\n",
        tokens, result->mean_loss, perplexity, form.c_str());
  } else {
    std::printf(
        "predicted tokens  %lld\nmean loss         %.6f nats\nperplexity        %.4f\nbase         "
        " "
        "    %s\n",
        tokens, result->mean_loss, perplexity, form.c_str());
  }
  return 0;
}

}  // namespace
}  // namespace tunesmith::trainer

int main(int argc, char** argv) {
  using namespace tunesmith;
  using namespace tunesmith::trainer;
  CLI::App app{"Trains and evaluates language models."};
  app.require_subcommand(1);
  std::string run_directory;
  CLI::App* run =
      app.add_subcommand("run", "Carry out the job of a run directory (plan.json and job.json)");
  run->add_option("--run-dir", run_directory, "The run directory")->required();
  EvaluateFlags evaluation;
  AddEvaluateFlags(*app.add_subcommand("evaluate", "Mean loss of a model over a data set"),
                   evaluation);
  ConvertFlags conversion;
  CLI::App* convert = app.add_subcommand(
      "convert", "Write a model as a Hugging Face directory: config.json, safetensors, tokenizer");
  AddConvertFlags(*convert, conversion);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (run->parsed()) return Run(run_directory);
  return convert->parsed() ? Convert(conversion) : Evaluate(evaluation);
}
