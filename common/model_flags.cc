#include "common/model_flags.h"

#include <CLI/CLI.hpp>

namespace tunesmith {
namespace {

void AddBaseFlags(CLI::App& command, BaseFlags& flags) {
  command
      .add_option("--base", flags.base,
                  "What the adapter meets: the weights as they are (wide), or in 4 bits as QLoRA "
                  "trains (nf4, nf4-double); auto: what it was trained on")
      ->check(CLI::IsMember({"auto", "wide", "nf4", "nf4-double"}))
      ->capture_default_str();
  command.add_flag("--any-base", flags.any_base,
                   "Take the adapter also where it was trained on other weights of this shape");
}

}  // namespace

void AddEvaluateFlags(CLI::App& command, EvaluateFlags& flags) {
  command.add_option("--model", flags.model, "Hugging Face directory or .gguf file")->required();
  command.add_option("--adapter", flags.adapter, "PEFT adapter directory");
  command.add_option("--dataset", flags.dataset, "JSONL file")->required();
  command.add_option("--context", flags.context, "Tokens per row")
      ->required()
      ->check(CLI::PositiveNumber);
  command.add_option("--device", flags.device, "cpu or cuda:N")->capture_default_str();
  command.add_option("--threads", flags.thread_count, "CPU threads; 0: one per processor")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_flag("--skip-bad-rows", flags.skips_bad_rows,
                   "Count rows that cannot be used instead of failing");
  command.add_option(
      "--data-format", flags.data_format,
      "text, prompt-completion, messages, sharegpt or alpaca; as the first row tells by default");
  command.add_option("--chat-template", flags.chat_template,
                     "Jinja file to write conversations by; the model's own by default");
  command.add_option("-o,--output", flags.output, "Form of the result")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  AddBaseFlags(command, flags.base);
}

void AddConvertFlags(CLI::App& command, ConvertFlags& flags) {
  command.add_option("--model", flags.model, ".gguf file or Hugging Face directory")->required();
  command.add_option("--output", flags.output, "Directory to write")->required();
  command.add_option("--dtype", flags.dtype, "Data type of the weights written")
      ->check(CLI::IsMember({"bf16", "f32"}))
      ->capture_default_str();
  command.add_option("--shard-gb", flags.shard_gigabytes, "Largest file, in 1e9 bytes")
      ->check(CLI::Range(0.001, 1e6))
      ->capture_default_str();
  command.add_option("--merge", flags.adapter, "PEFT adapter directory to add to the weights");
  AddBaseFlags(command, flags.base);
}

}  // namespace tunesmith
