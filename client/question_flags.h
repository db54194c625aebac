#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/pinned_flags.h"
#include "tunesmith/v1/recommender.pb.h"

namespace CLI {
class App;
}

// The flags that describe a question, the same for recommend, estimate and launch.
namespace tunesmith::client {

struct QuestionFlags {
  std::string model;
  int64_t context = 0;
  std::string gpus = "cpu";
  double network_gigabits_per_second = 0;  // 0: assumed
  std::string method = "any";
  std::string precision;
  std::string optimizer = "adamw";
  std::string optimizer_state = "fp32";
  std::string accumulation = "fp32";
  bool single_quantization = false;
  int64_t lora_rank = 16;
  double lora_alpha = 0;  // 0: twice the rank
  double lora_dropout = 0;
  bool lora_rank_stabilized = false;
  std::string objective = "time";
  int64_t batch = 16;
  std::string dataset;
  int64_t dataset_tokens = 0;
  double epochs = 1;
  int64_t documents_per_row = 0;  // 0: one for every 64 tokens of context, at most 64
  std::string loss = "all";
  int64_t loss_tokens_per_row = 0;  // 0: as `loss` says
  bool generates = false;
  std::string memory_budget;
  std::string host_memory;
  std::string pinned_memory;
  std::string calibration;
  PinnedFlags pinned;
};

void AddQuestionFlags(CLI::App& app, QuestionFlags& flags);

struct AskedQuestion {
  v1::Question question;
  std::vector<std::string> notes;  // what was assumed, for people
};

// Reads the files that the flags name (config.json or GGUF header of the model, calibration, size of the data set). INVALID_ARGUMENT or
// NOT_FOUND name the flag and what is wrong.
absl::StatusOr<AskedQuestion> QuestionFromFlags(const QuestionFlags& flags);

// The model in a directory with config.json or in a .gguf file. Errors name the file.
absl::StatusOr<v1::ModelSpec> ModelSpecOfFiles(const std::string& path);

// "20GiB", "20 GB", "1.5T", "1073741824": bytes. A decimal unit (GB) is a power of ten, a binary one (GiB, G) a power of two.
absl::StatusOr<int64_t> ParseBytes(const std::string& text);

}  // namespace tunesmith::client
