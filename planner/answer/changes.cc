#include "planner/answer/changes.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>

#include "common/status_macros.h"
#include "common/text.h"
#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/answer/device_counts.h"
#include "planner/answer/longest_context.h"
#include "planner/model/mix_names.h"

namespace tunesmith::planner {
namespace {

// More devices than that are no small change.
constexpr int64_t kMostOfferedCount = 1024;

// Makes a question from the one that was asked and an amount.
using Vary = std::function<Question(int64_t)>;

class ChangeFinder {
 public:
  ChangeFinder(const Question& question, const Prediction& nearest)
      : question_(question), nearest_(nearest) {
    question_.ranked_count = 1;
  }

  absl::StatusOr<Changes> Find() {
    using Try = absl::Status (ChangeFinder::*)();
    for (const Try attempt :
         {&ChangeFinder::TryMemory, &ChangeFinder::TryDevices, &ChangeFinder::TryDeviceCount,
          &ChangeFinder::TryOffload, &ChangeFinder::TryEvaluation, &ChangeFinder::TryGeneration,
          &ChangeFinder::TryContext, &ChangeFinder::TryRows, &ChangeFinder::TryMethod,
          &ChangeFinder::TryLoraRank, &ChangeFinder::TryPrecision,
          &ChangeFinder::TryOptimizerStates, &ChangeFinder::TryAccumulation}) {
      TUNESMITH_RETURN_IF_ERROR((this->*attempt)());
      if (found_.deadline_reached) break;
    }
    std::stable_sort(found_.changes.begin(), found_.changes.end(),
                     [](const Change& a, const Change& b) {
                       return std::pair(a.semantic, a.share) < std::pair(b.semantic, b.share);
                     });
    return std::move(found_);
  }

 private:
  // The mix that the changed question chooses; none when nothing fits, or nobody can tell, or the change contradicts the rest of the question.
  absl::StatusOr<std::optional<Prediction>> BestOf(const Question& changed) {
    absl::StatusOr<SearchResult> result = Recommend(changed);
    if (absl::IsUnimplemented(result.status()) || absl::IsInvalidArgument(result.status()))
      return std::nullopt;
    TUNESMITH_RETURN_IF_ERROR(result.status());
    found_.deadline_reached |= result->deadline_reached;
    if (result->deadline_reached || result->ranked.empty()) return std::nullopt;
    return std::move(result->ranked.front());
  }

  void Add(Change change, const std::string& what) {
    if (found_.deadline_reached) return;
    const bool amount = change.from > 0;
    change.share = amount ? std::abs(static_cast<double>(change.to - change.from)) /
                                static_cast<double>(change.from)
                          : 1.0 - static_cast<double>(change.best.memory.total_bytes) /
                                      static_cast<double>(nearest_.memory.total_bytes);
    change.sentence =
        StrCat("It fits with ", what, change.semantic ? ", which changes what is learned." : ".");
    found_.changes.push_back(std::move(change));
  }

  absl::Status TrySwitch(Change change, const Question& changed, const std::string& what) {
    TUNESMITH_ASSIGN_OR_RETURN(std::optional<Prediction> best, BestOf(changed));
    if (!best) return absl::OkStatus();
    change.best = *std::move(best);
    Add(std::move(change), what);
    return absl::OkStatus();
  }

  // Raises `change.to` to the largest multiple of `unit` below `end` that fits, by bisection: what fits at a multiple is taken to fit at those below it.
  absl::Status Raise(int64_t unit, int64_t end, const Vary& vary, Change& change) {
    int64_t fits = change.to / unit, too_many = CeilDivide(end, unit);
    while (too_many - fits > 1 && !found_.deadline_reached) {
      const int64_t middle = fits + (too_many - fits) / 2;
      TUNESMITH_ASSIGN_OR_RETURN(std::optional<Prediction> at, BestOf(vary(middle * unit)));
      (at.has_value() ? fits : too_many) = middle;
      if (!at) continue;
      change.to = middle * unit;
      change.best = *std::move(at);
    }
    return absl::OkStatus();
  }

  // The largest multiple of `unit` below `change.from` that fits: first by multiples of `stride` units, between which need only grows.
  absl::Status TryLargest(Change change, int64_t unit, int64_t stride, const Vary& vary,
                          const char* name) {
    if (change.from <= unit) return absl::OkStatus();
    TUNESMITH_ASSIGN_OR_RETURN(std::optional<Prediction> least, BestOf(vary(unit)));
    if (!least) return absl::OkStatus();
    change.to = unit;
    change.best = *std::move(least);
    TUNESMITH_RETURN_IF_ERROR(Raise(unit * stride, change.from, vary, change));
    const int64_t next_stride = (change.to / (unit * stride) + 1) * unit * stride;
    TUNESMITH_RETURN_IF_ERROR(Raise(unit, std::min(change.from, next_stride), vary, change));
    change.value = StrCat(change.to);
    const std::string what = StrCat(name, " ", change.to, " instead of ", change.from);
    Add(std::move(change), what);
    return absl::OkStatus();
  }

  absl::Status TryMemory() {
    if (nearest_.memory.total_bytes <= nearest_.memory.budget_bytes) return TryHostMemory();
    Question changed = question_;
    changed.memory_budget_bytes = nearest_.memory.total_bytes;
    Change change{.kind = ChangeKind::kMemory,
                  .value = FormatBytes(nearest_.memory.total_bytes),
                  .from = nearest_.memory.budget_bytes,
                  .to = nearest_.memory.total_bytes};
    const std::string what = StrCat(FormatBytes(change.to - change.from),
                                    " more memory per device (", change.value, ")");
    return TrySwitch(std::move(change), changed, what);
  }

  // Where the device's memory suffices: both budgets of the host are widened to what is needed.
  absl::Status TryHostMemory() {
    const MemoryPrediction& memory = nearest_.memory;
    const std::vector<Shortage> shortages = ShortagesOf(memory);
    if (shortages.empty()) return absl::OkStatus();
    Question changed = question_;
    const auto widen = [](int64_t& budget_bytes, int64_t needed_bytes) {
      if (budget_bytes > 0) budget_bytes = std::max(budget_bytes, needed_bytes);
    };
    widen(changed.host_memory_budget_bytes, memory.host_bytes);
    widen(changed.pinned_memory_budget_bytes, memory.pinned_bytes);
    Change change{.kind = ChangeKind::kMemory,
                  .from = shortages.front().available_bytes,
                  .to = shortages.front().needed_bytes};
    std::vector<std::string> amounts, more;
    for (const Shortage& lack : shortages) {
      amounts.push_back(StrCat(FormatBytes(lack.needed_bytes), OfMemory(lack)));
      more.push_back(StrCat(FormatBytes(MissingBytes(lack)), " more", OfMemory(lack)));
    }
    change.value = StrJoin(amounts, " and ");
    const std::string what = StrCat(StrJoin(more, " and "), " per device (", change.value, ")");
    return TrySwitch(std::move(change), changed, what);
  }

  // A budget below the device's memory would bind on any other device too.
  absl::Status TryDevices() {
    if (question_.memory_budget_bytes > 0) return absl::OkStatus();
    const std::vector<Hardware> larger = LargerDevices();
    std::optional<Prediction> best;
    size_t low = 0, high = larger.size();  // what fits into a device fits into those after it
    while (low < high && !found_.deadline_reached) {
      const size_t middle = low + (high - low) / 2;
      TUNESMITH_ASSIGN_OR_RETURN(std::optional<Prediction> at, BestOf(OnDevice(larger[middle])));
      at ? high = middle : low = middle + 1;
      if (at) best = std::move(at);
    }
    if (!best) return absl::OkStatus();
    const Hardware& device = larger[high];
    Add({.kind = ChangeKind::kDevice,
         .value = device.name,
         .from = nearest_.memory.budget_bytes,
         .to = device.memory_bytes,
         .best = *std::move(best)},
        StrCat(device.name, " (", FormatBytes(device.memory_bytes), ") instead of ",
               question_.devices.hardware.name));
    return absl::OkStatus();
  }

  // GPUs that the trainer runs on with more memory, least first, of equal ones the slowest.
  std::vector<Hardware> LargerDevices() const {
    std::vector<Hardware> larger;
    for (const Hardware& h : HardwareCatalog()) {
      if (h.trainer_runs && h.compute_capability > 0 &&
          h.memory_bytes > nearest_.memory.budget_bytes)
        larger.push_back(h);
    }
    std::stable_sort(larger.begin(), larger.end(), [](const Hardware& a, const Hardware& b) {
      return std::pair(a.memory_bytes, a.bf16_dense_flops_per_second) <
             std::pair(b.memory_bytes, b.bf16_dense_flops_per_second);
    });
    return larger;
  }

  // What is computed stays: the precision does not follow the device. What was measured on one device says nothing of another.
  Question OnDevice(const Hardware& device) const {
    Question changed = question_;
    changed.precision = PrecisionOf(question_);
    changed.devices.hardware = device;
    changed.calibration = {};
    return changed;
  }

  // The fewest that fit: sharing lowers what each needs. Counts that the rows cannot be divided over are no answer.
  absl::Status TryDeviceCount() {
    const DeviceGroup& asked = question_.devices;
    const int64_t per_node = asked.node_count > 1 ? asked.device_count / asked.node_count
                                                  : std::max(kDevicesPerNode, asked.device_count);
    for (const int64_t count :
         DeviceCounts(asked.hardware, per_node, MostDeviceCount(question_, kMostOfferedCount))) {
      if (count <= asked.device_count) continue;
      Question changed = question_;
      changed.devices = GroupOf(asked.hardware, count, per_node, asked.network_bytes_per_second);
      TUNESMITH_ASSIGN_OR_RETURN(std::optional<Prediction> best, BestOf(changed));
      if (found_.deadline_reached) return absl::OkStatus();
      if (!best) continue;
      const int64_t nodes = changed.devices.node_count;
      Add({.kind = ChangeKind::kDeviceCount,
           .value = StrCat(count),
           .from = asked.device_count,
           .to = count,
           .best = *std::move(best)},
          StrCat(count, " devices", nodes > 1 ? StrCat(" in ", nodes, " nodes") : "",
                 " instead of ", asked.device_count));
      return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  // What no answer offers unasked.
  absl::Status TryOffload() {
    if (!HasHostMemory(question_.devices.hardware) || question_.pinned.offload)
      return absl::OkStatus();
    for (const Offload offload : {Offload::kOptimizer, Offload::kAll}) {
      Question changed = question_;
      changed.pinned.offload = offload;
      TUNESMITH_ASSIGN_OR_RETURN(std::optional<Prediction> best, BestOf(changed));
      if (!best) continue;
      const std::string name(NameOf(kOffloadNames, offload));
      const std::string part = best->mix.offload_percent == 100
                                   ? ""
                                   : StrCat(" of ", best->mix.offload_percent, " % of the states");
      const std::string what =
          StrCat("offload=", name, part, " and ", FormatBytes(best->memory.pinned_bytes),
                 " of the host's memory per device");
      Add({.kind = ChangeKind::kOffload, .value = name, .best = *std::move(best)}, what);
      return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  absl::Status TryEvaluation() {
    if (!question_.workload.evaluates) return absl::OkStatus();
    Question changed = question_;
    changed.workload.evaluates = false;
    return TrySwitch({.kind = ChangeKind::kEvaluation, .value = "off"}, changed,
                     "no evaluation during the job");
  }

  absl::Status TryGeneration() {
    if (!question_.workload.generates) return absl::OkStatus();
    Question changed = question_;
    changed.workload.generates = false;
    return TrySwitch({.kind = ChangeKind::kGeneration, .value = "off"}, changed, "no generation");
  }

  absl::Status TryContext() {
    const auto vary = [this](int64_t context) { return QuestionAt(question_, context); };
    // Ranks that share a row divide its tokens.
    return TryLargest(
        {.kind = ChangeKind::kContext, .semantic = true, .from = question_.workload.context},
        nearest_.mix.sequence_parallel, kTileUnit, vary, "context");
  }

  // Fewer rows help where a single micro-batch makes gradients and activations share memory. They must divide as the rows asked for did.
  absl::Status TryRows() {
    const int64_t unit = nearest_.mix.data_parallel * question_.pinned.micro_batch.value_or(1);
    const auto vary = [this](int64_t rows) {
      Question changed = question_;
      changed.workload.rows_per_step = rows;
      return changed;
    };
    return TryLargest(
        {.kind = ChangeKind::kRows, .semantic = true, .from = question_.workload.rows_per_step},
        unit, /*stride=*/1, vary, "rows per step");
  }

  // For full fine-tuning LoRA or, where that does not fit either, QLoRA.
  absl::Status TryMethod() {
    const bool full = question_.method == MethodChoice::kFull;
    if (!full && question_.method != MethodChoice::kLora) return absl::OkStatus();
    const std::string instead =
        StrCat(" of rank ", question_.lora.rank, " instead of full fine-tuning");
    const size_t found_before = found_.changes.size();
    Question changed = question_;
    if (full) {
      changed.method = MethodChoice::kLora;
      TUNESMITH_RETURN_IF_ERROR(
          TrySwitch({.kind = ChangeKind::kMethod, .value = "lora", .semantic = true}, changed,
                    StrCat("LoRA", instead)));
      if (found_.changes.size() > found_before) return absl::OkStatus();
    }
    changed.method = MethodChoice::kQlora;
    return TrySwitch(
        {.kind = ChangeKind::kMethod, .value = "qlora", .semantic = true}, changed,
        full ? StrCat("QLoRA", instead) : "QLoRA: frozen weights in 4 bits instead of as they are");
  }

  // The scale stays.
  absl::Status TryLoraRank() {
    if (question_.method == MethodChoice::kFull) return absl::OkStatus();
    const auto vary = [this](int64_t rank) {
      Question changed = question_;
      changed.lora.rank = rank;
      changed.lora.alpha *= LoraScale(question_.lora) / LoraScale(changed.lora);
      return changed;
    };
    return TryLargest(
        {.kind = ChangeKind::kLoraRank, .semantic = true, .from = question_.lora.rank}, 1,
        /*stride=*/1, vary, "LoRA rank");
  }

  absl::Status TryPrecision() {
    if (PrecisionOf(question_) != Precision::kFp32) return absl::OkStatus();
    Question changed = question_;
    changed.precision = Precision::kBf16;
    changed.calibration = InPrecision(question_.calibration, Precision::kBf16);
    return TrySwitch({.kind = ChangeKind::kPrecision, .value = "bf16", .semantic = true}, changed,
                     "precision bf16 instead of fp32");
  }

  absl::Status TryOptimizerStates() {
    for (const OptimizerState state : {OptimizerState::kBf16, OptimizerState::kInt8}) {
      if (state <= question_.optimizer_state) continue;  // narrower ones only
      Question changed = question_;
      changed.optimizer_state = state;
      const std::string name(NameOf(kOptimizerStateNames, state));
      TUNESMITH_RETURN_IF_ERROR(
          TrySwitch({.kind = ChangeKind::kOptimizerState, .value = name, .semantic = true}, changed,
                    StrCat("optimizer state ", name, " instead of ",
                           NameOf(kOptimizerStateNames, question_.optimizer_state))));
    }
    return absl::OkStatus();
  }

  absl::Status TryAccumulation() {
    if (question_.accumulation_dtype != AccumulationDtype::kFp32) return absl::OkStatus();
    Question changed = question_;
    changed.accumulation_dtype = AccumulationDtype::kBf16;
    return TrySwitch({.kind = ChangeKind::kAccumulation, .value = "bf16", .semantic = true},
                     changed, "gradients summed in bf16 instead of fp32");
  }

  Question question_;
  const Prediction& nearest_;
  Changes found_;
};

}  // namespace

std::string_view ChangeKindName(ChangeKind kind) {
  constexpr std::string_view kNames[kChangeKindCount] = {
      "memory",       "device",       "context",    "rows_per_step", "method",
      "lora_rank",    "precision",    "evaluation", "generation",    "optimizer_state",
      "accumulation", "device_count", "offload"};
  return kNames[static_cast<size_t>(kind)];
}

absl::StatusOr<Changes> CheapestChanges(const Question& question, const Prediction& nearest) {
  return ChangeFinder(question, nearest).Find();
}

}  // namespace tunesmith::planner
