#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/numbers.h"
#include "planner/model/learning_rate.h"
#include "runtimes/setup.h"

// What configuration files of transformers' family call the axes of a setup.
namespace tunesmith::runtimes {

inline constexpr std::string_view kDatasetPlaceholder = "path/to/data.jsonl";

inline bool IsFull(const RunSetup& setup) { return setup.method == planner::Method::kFull; }
inline bool IsQlora(const RunSetup& setup) {
  return setup.quantization == Quantization::kNf4 || setup.quantization == Quantization::kNf4Double;
}

// Values of attn_implementation.
inline std::string_view AttentionImplementation(const RunSetup& setup) {
  if (setup.attention == Attention::kEager) return "eager";
  return setup.attention == Attention::kFlash ? "flash_attention_2" : "sdpa";
}

// PEFT's names of the adapted modules, as transformers' Llama family has them.
inline std::vector<std::string> TargetModules(const RunSetup& setup) {
  constexpr std::string_view kNames[] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                         "gate_proj", "up_proj", "down_proj"};
  std::vector<std::string> modules;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if ((setup.lora.targets >> i & 1) != 0) modules.emplace_back(kNames[i]);
  }
  return modules;
}

// Adapters on every linear layer go by one word, which other families than Llama's understand too.
inline bool AdaptsAllLinears(const RunSetup& setup) {
  return setup.lora.targets == planner::kLoraAll;
}

inline std::string Alpha(const RunSetup& setup) { return FormatDouble(setup.lora.alpha); }
inline std::string Dropout(const RunSetup& setup) { return FormatDouble(setup.lora.dropout); }
inline std::string Epochs(const RunSetup& setup) { return FormatDouble(setup.epoch_count); }

// As the bundled trainer's default. YAML reads "1e-05" as text.
inline std::string LearningRate(const RunSetup& setup) {
  return absl::StrFormat("%.5f", planner::UsualLearningRate(setup.method));
}

}  // namespace tunesmith::runtimes
