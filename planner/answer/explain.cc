#include "planner/answer/explain.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "common/units.h"
#include "planner/answer/candidates.h"
#include "planner/model/mix_names.h"

namespace tunesmith::planner {
namespace {

// A question whose answer is the best mix with one axis at one value.
struct Variant {
  ExplainedAxis axis;
  std::string value;
  Question question;
};

MethodChoice ChoiceOf(Method method) {
  switch (method) {
    case Method::kFull:
      return MethodChoice::kFull;
    case Method::kLora:
      return MethodChoice::kLora;
    case Method::kQlora:
      return MethodChoice::kQlora;
  }
  return MethodChoice::kAny;
}

class VariantList {
 public:
  VariantList(const Question& question, const Mix& chosen) : question_(question), chosen_(chosen) {
    base_ = question;
    base_.method = ChoiceOf(chosen.method);
    base_.ranked_count = 1;
  }

  std::vector<Variant> Build() {
    AddMethods();
    AddAttention();
    AddLoss();
    AddMicroBatches();
    AddMlpTiles();
    AddRecompute();
    AddZeroStages();
    AddSequenceParallel();
    AddOffload();
    AddGatherDepth();
    AddOffloadPercent();
    return std::move(variants_);
  }

 private:
  Question& Add(ExplainedAxis axis, std::string_view value) {
    variants_.push_back({.axis = axis, .value = std::string(value), .question = base_});
    return variants_.back().question;
  }

  void AddMethods() {
    if (question_.method != MethodChoice::kAny) return;
    for (Method other : {Method::kFull, Method::kLora, Method::kQlora}) {
      if (other == chosen_.method) continue;
      Add(ExplainedAxis::kMethod, NameOf(kMethodNames, other)).method = ChoiceOf(other);
    }
  }

  void AddAttention() {
    if (question_.pinned.attention) return;
    for (const AttentionKernel attention :
         {AttentionKernel::kEager, AttentionKernel::kFlash, AttentionKernel::kCudnn}) {
      if (attention == chosen_.attention) continue;
      if (attention == AttentionKernel::kCudnn && !TakesCudnn(question_)) continue;
      Add(ExplainedAxis::kAttention, NameOf(kAttentionNames, attention)).pinned.attention =
          attention;
    }
  }

  void AddLoss() {
    if (question_.pinned.loss) return;
    for (const LossKernel loss : {LossKernel::kFull, LossKernel::kChunked}) {
      if (loss == chosen_.loss) continue;
      Add(ExplainedAxis::kLoss, NameOf(kLossNames, loss)).pinned.loss = loss;
    }
  }

  // As some family of the question has.
  void AddMicroBatches() {
    if (question_.pinned.micro_batch) return;
    for (const int64_t micro_batch : OtherCounts(&Mix::micro_batch))
      Add(ExplainedAxis::kMicroBatch, StrCat(micro_batch)).pinned.micro_batch = micro_batch;
  }

  void AddMlpTiles() {
    if (question_.pinned.mlp_tile_count) return;
    for (const int64_t count : OtherCounts(&Mix::mlp_tile_count))
      Add(ExplainedAxis::kMlpTiles, StrCat(count)).pinned.mlp_tile_count = count;
  }

  void AddZeroStages() {
    if (question_.pinned.zero_stage) return;
    for (const int64_t stage : OtherCounts(&Mix::zero_stage))
      Add(ExplainedAxis::kZeroStage, StrCat(stage)).pinned.zero_stage = stage;
  }

  // Where the chosen mix gathers weights.
  void AddGatherDepth() {
    if (question_.pinned.gather_depth || !GathersWeights(chosen_)) return;
    const int64_t other = 1 - chosen_.gather_depth;
    Question& question = Add(ExplainedAxis::kGatherDepth, StrCat(other));
    question.pinned.gather_depth = other;
    if (chosen_.zero_stage > 0) question.pinned.zero_stage = chosen_.zero_stage;
  }

  void AddOffloadPercent() {
    if (question_.pinned.offload_percent || chosen_.offload != Offload::kOptimizer) return;
    // The next ones alone: further off, memory or time is worse still.
    const std::set<int64_t> others = OtherCounts(&Mix::offload_percent);
    const auto above = others.upper_bound(chosen_.offload_percent);
    const auto add = [&](int64_t percent) {
      Add(ExplainedAxis::kOffloadPercent, StrCat(percent)).pinned.offload_percent = percent;
    };
    if (above != others.begin()) add(*std::prev(above));
    if (above != others.end()) add(*above);
  }

  void AddSequenceParallel() {
    if (question_.pinned.sequence_parallel) return;
    for (const int64_t ranks : OtherCounts(&Mix::sequence_parallel))
      Add(ExplainedAxis::kSequenceParallel, StrCat(ranks)).pinned.sequence_parallel = ranks;
  }

  void AddOffload() {
    if (question_.pinned.offload || !HasHostMemory(question_.devices.hardware)) return;
    for (const Offload offload : {Offload::kOptimizer, Offload::kAll})
      Add(ExplainedAxis::kOffload, NameOf(kOffloadNames, offload)).pinned.offload = offload;
  }

  // What families of the question have, but for what was chosen.
  std::set<int64_t> OtherCounts(int64_t Mix::*axis) const {
    std::set<int64_t> counts;
    for (const Mix& family : FamiliesOf(base_)) counts.insert(family.*axis);
    counts.erase(chosen_.*axis);
    return counts;
  }

  void AddRecompute() {
    for (const Rung rung : {Rung::kKeep, Rung::kBlock}) {
      const bool allowed = (question_.pinned.rungs & BitOf(rung)) != 0;
      if (!allowed || TakesOnly(chosen_.recompute, BitOf(rung))) continue;
      Add(ExplainedAxis::kRecompute, NameOf(kRungNames, rung)).pinned.rungs = BitOf(rung);
    }
  }

  const Question& question_;
  const Mix& chosen_;
  Question base_;
  std::vector<Variant> variants_;
};

std::string Percent(double share) {
  if (share < 1e-4) return "below 0.01 %";
  return share < 0.995 ? absl::StrFormat("%.2g %%", 100 * share)
                       : absl::StrFormat("%.0f %%", 100 * share);
}

std::string TimeDifference(const Alternative& a, double chosen_seconds) {
  if (a.seconds_more == 0) return "is as quick";
  const double seconds = std::abs(a.seconds_more);
  return StrCat("is ", FormatSeconds(seconds), " (", Percent(seconds / chosen_seconds), ") ",
                a.seconds_more > 0 ? "slower" : "quicker", " per step");
}

std::string MemoryDifference(const Alternative& a) {
  if (a.bytes_more == 0) return "takes the same memory";
  return StrCat("takes ", FormatBytes(std::abs(a.bytes_more)), a.bytes_more > 0 ? " more" : " less",
                " memory");
}

std::string SentenceOf(const Alternative& a, double chosen_seconds) {
  const std::string with = StrCat("With ", ExplainedAxisName(a.axis), " ", a.value);
  if (a.reason == LostBecause::kDoesNotFit) {
    const Shortage lack = ShortagesOf(a.best.memory).front();
    return StrCat(with, " nothing fits: the smallest mix needs ", FormatBytes(lack.needed_bytes),
                  OfMemory(lack), " per device, ", FormatBytes(a.missing_bytes),
                  " more than there is.");
  }
  return StrCat(with, " the best mix ", TimeDifference(a, chosen_seconds), " and ",
                MemoryDifference(a), a.semantic ? "; it does not learn the same thing." : ".");
}

// What the objective looks at first decides what is told.
LostBecause ReasonOf(const Alternative& a, Objective objective) {
  if (!a.best.fits) return LostBecause::kDoesNotFit;
  const bool slower = a.seconds_more > 0, larger = a.bytes_more > 0;
  if (larger && (objective != Objective::kTime || !slower)) return LostBecause::kMoreMemory;
  return slower ? LostBecause::kSlower : LostBecause::kNoBetter;
}

Alternative Compare(const Variant& variant, Prediction best, const Prediction& chosen) {
  Alternative a{.axis = variant.axis,
                .value = variant.value,
                .semantic = variant.axis == ExplainedAxis::kMethod,
                .best = std::move(best)};
  // The difference of integers, so that equal times differ by 0 exactly.
  a.seconds_more =
      static_cast<double>(a.best.time.step_picoseconds - chosen.time.step_picoseconds) * 1e-12;
  a.bytes_more = a.best.memory.total_bytes - chosen.memory.total_bytes;
  a.reason = ReasonOf(a, variant.question.objective);
  if (!a.best.fits) a.missing_bytes = MissingBytes(ShortagesOf(a.best.memory).front());
  a.sentence = SentenceOf(a, chosen.time.step_seconds);
  return a;
}

// Most first; of equal ones the binding one.
std::vector<InstantBytes> ByNeed(const MemoryPrediction& memory) {
  std::vector<InstantBytes> instants = memory.instants;
  const auto order = [&](const InstantBytes& i) {
    return std::pair(-i.bytes, i.name != memory.binding_instant);
  };
  std::stable_sort(
      instants.begin(), instants.end(),
      [&](const InstantBytes& x, const InstantBytes& y) { return order(x) < order(y); });
  return instants;
}

std::string BindingSentence(const MemoryPrediction& memory,
                            const std::vector<InstantBytes>& instants) {
  const MemoryClass largest = LargestClass(memory.class_bytes);
  std::string sentence =
      StrCat("The arena's size (", FormatBytes(memory.arena_bytes), ") is set by ",
             memory.binding_instant, ", where ", MemoryClassName(largest), " take most (",
             FormatBytes(memory.class_bytes[static_cast<size_t>(largest)]), ")");
  if (instants.size() > 1)
    sentence += StrCat("; next comes ", instants[1].name, " with ", FormatBytes(instants[1].bytes));
  return sentence + ".";
}

}  // namespace

std::string_view ExplainedAxisName(ExplainedAxis axis) {
  constexpr std::string_view kNames[kExplainedAxisCount] = {
      "method",     "attention",         "loss",    "micro_batch",  "mlp_tiles",      "recompute",
      "zero_stage", "sequence_parallel", "offload", "gather_depth", "offload_percent"};
  return kNames[static_cast<size_t>(axis)];
}

absl::StatusOr<Explanation> Explain(const Question& question, const Prediction& chosen) {
  Explanation explanation{.instants = ByNeed(chosen.memory)};
  explanation.binding_sentence = BindingSentence(chosen.memory, explanation.instants);
  for (const Variant& variant : VariantList(question, chosen.mix).Build()) {
    absl::StatusOr<SearchResult> result = Recommend(variant.question);
    // A value may contradict what else the question pins.
    if (absl::IsUnimplemented(result.status()) || absl::IsInvalidArgument(result.status()))
      continue;
    TUNESMITH_RETURN_IF_ERROR(result.status());
    explanation.deadline_reached |= result->deadline_reached;
    if (result->deadline_reached) break;  // the best so far may not be the best
    if (result->ranked.empty() && !result->nearest) continue;
    Prediction best = result->ranked.empty() ? *result->nearest : result->ranked.front();
    if (best.program_digest == chosen.program_digest) continue;  // two names of one program
    explanation.alternatives.push_back(Compare(variant, std::move(best), chosen));
  }
  return explanation;
}

}  // namespace tunesmith::planner
