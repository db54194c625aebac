#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/answer/search.h"

// What would make a question fit that fits nowhere.
namespace tunesmith::planner {

enum class ChangeKind {
  kMemory,          // more memory per device, of the host where the device's suffices; bytes
  kDevice,          // the smallest device of the catalog; bytes of its memory
  kContext,         // the longest context that fits; tokens
  kRows,            // the most rows per step that fit
  kMethod,          // LoRA, else QLoRA, instead of full fine-tuning; QLoRA instead of LoRA
  kLoraRank,        // the largest rank that fits
  kPrecision,       // bf16 instead of fp32
  kEvaluation,      // no evaluation during the job
  kGeneration,      // no generation
  kOptimizerState,  // bf16 or int8 moments
  kAccumulation,    // gradients summed in bf16
  kDeviceCount,     // the fewest devices that it fits, sharing what it needs
  kOffload,         // the least that the host must keep
};
inline constexpr int kChangeKindCount = 13;
std::string_view ChangeKindName(ChangeKind kind);  // "lora_rank"

// One change that alone makes the question fit.
struct Change {
  ChangeKind kind = ChangeKind::kMemory;
  std::string
      value;  // what it would be: "23.50 GiB", "1.50 GiB of host memory", "L40S", "1536", "lora", "off"
  bool semantic = false;  // it changes what is learned
  int64_t from = 0;       // amounts in the kind's unit; 0 for what has none
  int64_t to = 0;
  // How large the change is, for the order: |to - from| / from; for a switch, the share of the memory needed that it saves.
  double share = 0;
  Prediction best;  // the mix that would be chosen then
  std::string sentence;
};

struct Changes {
  std::vector<Change> changes;    // those that do not change what is learned first, then by share
  bool deadline_reached = false;  // some changes are missing
};

// Every single change that makes `question` fit, each tried by a search, up to the question's deadline. REQUIRES: `nearest` is that of an
// answer of Recommend(question) in which nothing fits. Errors as Recommend; what is not built yet is left out.
absl::StatusOr<Changes> CheapestChanges(const Question& question, const Prediction& nearest);

}  // namespace tunesmith::planner
