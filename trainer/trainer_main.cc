// tunesmith-trainer: trains and evaluates. `run` is started by tunesmithd's shim, or by hand on a run directory.
#include <CLI/CLI.hpp>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>

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

int Convert(ConvertOptions options, const std::string& dtype, const std::string& base,
            double shard_gigabytes) {
  options.base_form = FormNamed(base);
  options.dtype = dtype == "f32" ? DType::kF32 : DType::kBF16;
  options.shard_bytes = static_cast<int64_t>(shard_gigabytes * 1e9);
  const absl::Status status = ConvertModel(options);
  if (!status.ok()) return Fail(status);
  std::printf("wrote %s\n", options.output_path.c_str());
  return 0;
}

int Evaluate(EvaluateOptions options, const std::string& format, const std::string& base,
             const std::string& output) {
  const absl::StatusOr<std::optional<RowFormat>> named = RowFormatNamed(format);
  if (!named.ok()) return Fail(named.status());
  options.data.format = *named;
  options.base_form = FormNamed(base);
  absl::StatusOr<Evaluation> evaluation = SetUpEvaluation(options);
  if (!evaluation.ok()) return Fail(evaluation.status());
  const absl::StatusOr<EvaluationResult> result = Evaluate(*evaluation);
  if (!result.ok()) return Fail(result.status());
  const std::string form(BaseFormName(evaluation->base_form));
  const long long tokens = result->predicted_token_count;
  const double perplexity = std::exp(result->mean_loss);
  if (output == "json") {
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
  using namespace tunesmith::trainer;
  CLI::App app{"Trains and evaluates language models."};
  app.require_subcommand(1);
  std::string run_directory, output = "table", format;
  EvaluateOptions options;
  CLI::App* run =
      app.add_subcommand("run", "Carry out the job of a run directory (plan.json and job.json)");
  run->add_option("--run-dir", run_directory, "the run directory")->required();
  CLI::App* evaluate = app.add_subcommand("evaluate", "Mean loss of a model over a data set");
  evaluate->add_option("--model", options.model_path, "Hugging Face directory or .gguf file")
      ->required();
  evaluate->add_option("--adapter", options.adapter_path, "PEFT adapter directory");
  evaluate->add_option("--dataset", options.dataset_path, "JSONL file")->required();
  evaluate->add_option("--context", options.context, "tokens per row")->required();
  evaluate->add_option("--device", options.device, "cpu or cuda:N")->capture_default_str();
  evaluate->add_option("--threads", options.thread_count, "CPU threads; 0: one per processor")
      ->capture_default_str();
  evaluate->add_flag("--skip-bad-rows", options.data.skips_bad_rows,
                     "count rows that cannot be used instead of failing");
  evaluate->add_option(
      "--data-format", format,
      "text, prompt-completion, messages, sharegpt or alpaca; as the first row tells");
  evaluate->add_option("--chat-template", options.data.chat_template_path,
                       "Jinja file to write conversations by; the model's own by default");
  evaluate->add_option("-o,--output", output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  ConvertOptions conversion;
  std::string dtype = "bf16";
  double shard_gigabytes = 5;
  CLI::App* convert = app.add_subcommand(
      "convert", "Write a model as a Hugging Face directory: config.json, safetensors, tokenizer");
  convert->add_option("--model", conversion.model_path, ".gguf file or Hugging Face directory")
      ->required();
  convert->add_option("--output", conversion.output_path, "directory to write")->required();
  convert->add_option("--dtype", dtype, "bf16 or f32")
      ->check(CLI::IsMember({"bf16", "f32"}))
      ->capture_default_str();
  convert->add_option("--shard-gb", shard_gigabytes, "largest file, in 1e9 bytes")
      ->check(CLI::Range(0.001, 1e6))
      ->capture_default_str();
  convert->add_option("--merge", conversion.adapter_path,
                      "PEFT adapter directory to add to the weights");
  std::string base = "auto";
  bool any_base = false;
  for (CLI::App* command : {evaluate, convert}) {
    command
        ->add_option(
            "--base", base,
            "what the adapter meets: the weights as they are (wide), or in 4 bits as QLoRA "
            "trains (nf4, nf4-double); auto: what it was trained on")
        ->check(CLI::IsMember({"auto", "wide", "nf4", "nf4-double"}))
        ->capture_default_str();
    command->add_flag("--any-base", any_base,
                      "take the adapter also where it was trained on other weights of this shape");
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.any_base = conversion.any_base = any_base;
  if (convert->parsed()) return Convert(conversion, dtype, base, shard_gigabytes);
  return run->parsed() ? Run(run_directory) : Evaluate(options, format, base, output);
}
