#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "planner/answer/pinned_axes.h"
#include "planner/answer/prediction.h"
#include "planner/model/hardware.h"
#include "planner/model/mix.h"
#include "planner/model/model_spec.h"
#include "planner/model/workload.h"
#include "planner/price/calibration.h"

// The planner's two entry points. Both are pure functions of their arguments and safe to call from any thread.
namespace tunesmith::planner {

enum class MethodChoice { kAny, kFull, kLora, kQlora };
// kBalanced: least memory among the mixes that take at most kBalancedSlack longer than the quickest.
enum class Objective { kTime, kMemory, kBalanced };
inline constexpr double kBalancedSlack = 0.05;

struct Question {
  ModelSpec model;
  Workload workload;
  DeviceGroup devices;
  MethodChoice method = MethodChoice::kAny;
  LoraSpec lora;                       // used where the method has an adapter
  bool double_quantization = true;     // used where the method is QLoRA
  std::optional<Precision> precision;  // none: bf16 on GPUs that have it, fp32 on CPUs
  // Fixed semantic axes: every mix of the answer has them.
  Optimizer optimizer = Optimizer::kAdamW;
  OptimizerState optimizer_state = OptimizerState::kFp32;
  AccumulationDtype accumulation_dtype = AccumulationDtype::kFp32;
  Objective objective = Objective::kTime;
  PinnedAxes pinned;
  int64_t memory_budget_bytes = 0;  // per device; 0: what the device has
  // Of the host, per device, where devices have a memory of their own; 0: not limited.
  int64_t host_memory_budget_bytes = 0;
  int64_t pinned_memory_budget_bytes = 0;
  Calibration calibration;  // id empty: datasheet prices
  absl::Time deadline =
      absl::InfiniteFuture();  // the search stops there with the best found so far
  int64_t ranked_count = 8;    // most mixes in the answer
  int64_t pareto_count = 0;    // most points of the front of time and memory in the answer
};

// Why mixes were rejected, one row per reason.
struct Rejection {
  std::string reason;     // "memory" of the device, "host memory", "page-locked memory"
  int64_t mix_count = 0;  // families of mixes equal but for their recompute counts
  int64_t least_needed_bytes =
      0;  // where nothing fits: what the smallest mix needs of that memory per device
  int64_t available_bytes = 0;
};

struct SearchResult {
  std::vector<Prediction>
      ranked;  // best first by the objective; empty: nothing fits. ranked[0] is the choice
  std::optional<Prediction> nearest;  // when nothing fits: the mix that misses by least
  std::vector<Rejection> rejections;
  std::string choice_rule;  // by which rule ranked[0] was chosen, one sentence
  // Mixes for which no other is both quicker and smaller, quickest first; see Question::pareto_count.
  std::vector<Prediction> pareto;
  int64_t candidate_count = 0;  // mixes that answer the question
  int64_t evaluated_count = 0;  // of which priced
  int64_t excluded_count = 0;   // and excluded by bounds without that
  int64_t feasible_count =
      0;  // families (mixes equal but for their recompute counts) that were found to fit
  bool deadline_reached = false;
  std::vector<std::string> notes;  // assumptions and limits a reader must know
};

// Ranks the mixes for a question. A question that fits nowhere is an answer (ranked empty, nearest set), never an error.
// INVALID_ARGUMENT: the question contradicts itself or exceeds the model's context limit. UNIMPLEMENTED: the device is not planned yet.
absl::StatusOr<SearchResult> Recommend(const Question& question);

// Predicts one given mix for a question (its method, lora, precision, objective and pinned axes are ignored). Errors as Recommend, and INVALID_ARGUMENT
// for a mix that contradicts itself or the workload; a mix that does not fit comes back with fits = false.
absl::StatusOr<Prediction> Estimate(const Question& question, const Mix& mix);

}  // namespace tunesmith::planner
