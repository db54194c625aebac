#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/answer/search.h"
#include "runtimes/memory.h"
#include "runtimes/setup.h"
#include "runtimes/time.h"
#include "runtimes/versions.h"

// Which mix of a runtime's own axes fine-tunes a model soonest, or in least memory. A pure function; safe to call from any thread.
namespace tunesmith::runtimes {

enum class Tuning { kFull, kLora, kQlora };
std::string_view TuningName(Tuning tuning);  // "full", "lora", "qlora"

enum class Offload { kNone, kOptimizer, kOptimizerAndParameters };
std::string_view OffloadName(Offload offload);  // "none", "optimizer", "all"
Offload OffloadOf(const RunSetup& setup);

// Axes that are not the search's to choose.
struct RuntimePins {
  std::optional<int64_t> zero_stage;
  std::optional<Offload> offload;
  std::optional<bool> checkpointing;
  std::optional<Attention> attention;
  std::optional<int64_t> micro_batch;
};

struct RuntimeQuestion {
  ModelShape shape = {};
  planner::Hardware hardware = {};
  int64_t gpu_count = 1;
  int64_t gpus_per_node = 0;            // 0: not said
  double network_bytes_per_second = 0;  // of a node; 0: not said
  Runtime runtime = Runtime::kHuggingFace;
  std::vector<Tuning> tunings = {Tuning::kFull, Tuning::kLora};
  planner::LoraSpec lora = {};
  bool double_quantization = true;  // of QLoRA
  Loss loss = Loss::kUpcast;
  VersionChoice version = {};
  OptimizerKind optimizer = OptimizerKind::kAdamW;
  planner::Objective objective = planner::Objective::kTime;
  int64_t context = 0;
  int64_t rows_per_step = 0;        // over all GPUs
  int64_t dataset_token_count = 0;  // of one pass; 0: not said
  double epoch_count = 1;
  int64_t memory_budget_bytes = 0;       // per GPU; 0: what the device has
  int64_t host_memory_budget_bytes = 0;  // per GPU; 0: not limited
  RuntimePins pins = {};
  int64_t ranked_count = 8;
};

struct RuntimeCandidate {
  RunSetup setup = {};
  MemoryPrediction memory = {};
  TimePrediction time = {};
};

struct RuntimeResult {
  // Best first by the objective; empty: nothing fits.
  std::vector<RuntimeCandidate> ranked = {};
  // When nothing fits: the mix that needs least.
  std::optional<RuntimeCandidate> nearest = {};
  std::string choice_rule = {};
  int64_t candidate_count = 0;
  int64_t feasible_count = 0;
  std::vector<std::string> notes = {};
};

// Nothing fitting is an answer. INVALID_ARGUMENT: the question contradicts itself, or pins what the runtime cannot do, with what comes nearest.
absl::StatusOr<RuntimeResult> RecommendRuntime(const RuntimeQuestion& question);

}  // namespace tunesmith::runtimes
