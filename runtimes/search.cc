#include "runtimes/search.h"

#include <algorithm>
#include <array>

#include "common/status_macros.h"
#include "common/text.h"
#include "common/units.h"
#include "planner/model/catalog.h"
#include "runtimes/candidates.h"

namespace tunesmith::runtimes {
namespace {

using planner::Objective;

int64_t Needed(const RuntimeCandidate& candidate) {
  return candidate.memory.allocated.bytes + candidate.memory.context_bytes;
}

bool Quicker(const RuntimeCandidate& a, const RuntimeCandidate& b) {
  if (a.time.step_seconds != b.time.step_seconds) return a.time.step_seconds < b.time.step_seconds;
  return Needed(a) < Needed(b);
}
bool Smaller(const RuntimeCandidate& a, const RuntimeCandidate& b) {
  if (Needed(a) != Needed(b)) return Needed(a) < Needed(b);
  return a.time.step_seconds < b.time.step_seconds;
}

// Least memory among those within the slack of the quickest, then the others by time.
void SortBalanced(std::vector<RuntimeCandidate>& candidates) {
  std::sort(candidates.begin(), candidates.end(), Quicker);
  if (candidates.empty()) return;
  const double limit = candidates.front().time.step_seconds * (1 + planner::kBalancedSlack);
  const auto end = std::find_if(
      candidates.begin(), candidates.end(),
      [&](const RuntimeCandidate& candidate) { return candidate.time.step_seconds > limit; });
  std::sort(candidates.begin(), end, Smaller);
}

// Predictions are good to about this share, so what saves less does not pay for moving states to the host.
constexpr double kOffloadWorth = 0.01;

bool DiffersOnlyInOffload(const RunSetup& a, const RunSetup& b) {
  return a.method == b.method && a.quantization == b.quantization && a.zero_stage == b.zero_stage &&
         a.attention == b.attention && a.checkpointing == b.checkpointing &&
         a.micro_batch == b.micro_batch;
}

// Whether another candidate offloads less and needs hardly more.
bool OffloadsForNothing(const RuntimeCandidate& candidate,
                        const std::vector<RuntimeCandidate>& all) {
  return std::any_of(all.begin(), all.end(), [&](const RuntimeCandidate& other) {
    return DiffersOnlyInOffload(candidate.setup, other.setup) &&
           OffloadOf(other.setup) < OffloadOf(candidate.setup) &&
           static_cast<double>(Needed(other)) <=
               (1 + kOffloadWorth) * static_cast<double>(Needed(candidate));
  });
}

void DropIdleOffload(std::vector<RuntimeCandidate>& candidates) {
  std::vector<RuntimeCandidate> kept;
  for (const RuntimeCandidate& candidate : candidates) {
    if (OffloadOf(candidate.setup) == Offload::kNone || !OffloadsForNothing(candidate, candidates))
      kept.push_back(candidate);
  }
  candidates = std::move(kept);
}

void Sort(Objective objective, std::vector<RuntimeCandidate>& candidates) {
  switch (objective) {
    case Objective::kTime:
      return std::sort(candidates.begin(), candidates.end(), Quicker);
    case Objective::kMemory:
      return std::sort(candidates.begin(), candidates.end(), Smaller);
    case Objective::kBalanced:
      return SortBalanced(candidates);
  }
}

std::string_view RuleOf(Objective objective) {
  constexpr std::array<std::string_view, 3> kRules = {
      "the quickest step", "the least memory",
      "the least memory among mixes whose step takes at most 5 % longer than the quickest"};
  return kRules[static_cast<size_t>(objective)];
}

absl::Status CheckQuestion(const RuntimeQuestion& question) {
  std::vector<std::string> problems;
  const auto add_if = [&](bool wrong, std::string problem) {
    if (wrong) problems.push_back(std::move(problem));
  };
  add_if(question.hardware.compute_capability == 0,
         StrCat("runtime ", RuntimeName(question.runtime), " is planned for GPUs, not for ",
                question.hardware.name, "; name GPUs such as 8xA100-80GB"));
  add_if(question.context < 1, "context must be at least 1");
  add_if(question.context > question.shape.context_limit,
         StrCat("context ", question.context, " exceeds ", question.shape.name, "'s limit of ",
                question.shape.context_limit, " tokens"));
  add_if(question.gpu_count < 1, "there must be a GPU");
  add_if(
      question.gpu_count >= 1 &&
          (question.rows_per_step < 1 || question.rows_per_step % question.gpu_count != 0),
      StrCat("rows per step(", question.rows_per_step, ") % GPUs(", question.gpu_count, ") != 0"));
  add_if(question.tunings.empty(), "no method is asked for");
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(StrJoin(problems, "; "));
}

bool HostHolds(const RuntimeQuestion& question, const RuntimeCandidate& candidate) {
  const int64_t host = question.host_memory_budget_bytes;
  return host == 0 || candidate.memory.host_bytes <= host;
}

bool Fits(const RuntimeQuestion& question, const RuntimeCandidate& candidate) {
  return candidate.memory.fits && HostHolds(question, candidate);
}

// Passes over the data set, by what a step takes.
std::string DataSetNote(const RuntimeQuestion& question, const RuntimeCandidate& chosen) {
  const double tokens = static_cast<double>(question.dataset_token_count) * question.epoch_count;
  const double per_second =
      chosen.time.tokens_per_second_per_gpu * static_cast<double>(question.gpu_count);
  return StrCat("the data set takes ", FormatSeconds(tokens / per_second),
                ": every row is taken to be filled");
}

std::string HostNote(const RuntimeQuestion& question, const RuntimeCandidate& nearest) {
  return StrCat("the nearest needs ", FormatBytes(nearest.memory.host_bytes),
                " of host memory per GPU, ", FormatBytes(question.host_memory_budget_bytes),
                " are allowed");
}

std::string NodesNote(const RunSetup& setup) {
  return StrCat("nodes of ", setup.gpus_per_node, " GPUs with ",
                setup.network_bytes_per_second * 8e-9, " Gbit/s of network for each are assumed");
}

void AddNotes(const RuntimeQuestion& question, RuntimeResult& result) {
  const bool fits = !result.ranked.empty();
  const RuntimeCandidate& chosen = fits ? result.ranked.front() : *result.nearest;
  const RunSetup& setup = chosen.setup;
  const auto add_if = [&](bool applies, std::string_view note) {
    if (applies && !note.empty()) result.notes.emplace_back(note);
  };
  add_if(true, planner::NoteOnShape(question.shape.name, question.shape.source));
  add_if(true, question.version.note);
  add_if(true, chosen.time.note);
  add_if(chosen.memory.tight,
         "it fits because the allocator gives cached blocks back when memory runs out; longer rows "
         "or other versions may not");
  add_if(question.hardware.compute_capability < 80,
         StrCat(question.hardware.name,
                " has no bf16 and no FlashAttention-2 (they need sm_80): fp16 and sdpa's "
                "memory-efficient kernel are planned"));
  add_if(fits && question.dataset_token_count > 0, DataSetNote(question, chosen));
  add_if(!fits && !HostHolds(question, chosen), HostNote(question, chosen));
  add_if(question.lora.dropout > 0 && setup.method == planner::Method::kLora,
         "what dropout of the adapters keeps for backward is not counted");
  const bool told = question.gpus_per_node > 0 && question.network_bytes_per_second > 0;
  add_if(setup.gpu_count > setup.gpus_per_node && !told, NodesNote(setup));
}

}  // namespace

std::string_view TuningName(Tuning tuning) {
  constexpr std::array<std::string_view, 3> kNames = {"full", "lora", "qlora"};
  return kNames[static_cast<size_t>(tuning)];
}

std::string_view OffloadName(Offload offload) {
  constexpr std::array<std::string_view, 3> kNames = {"none", "optimizer", "all"};
  return kNames[static_cast<size_t>(offload)];
}

Offload OffloadOf(const RunSetup& setup) {
  if (setup.offload_parameters) return Offload::kOptimizerAndParameters;
  return setup.offload_optimizer ? Offload::kOptimizer : Offload::kNone;
}

absl::StatusOr<RuntimeResult> RecommendRuntime(const RuntimeQuestion& question) {
  TUNESMITH_RETURN_IF_ERROR(CheckQuestion(question));
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<RunSetup> setups, CandidateSetups(question));
  RuntimeResult result;
  result.candidate_count = static_cast<int64_t>(setups.size());
  result.choice_rule = RuleOf(question.objective);
  for (const RunSetup& setup : setups) {
    RuntimeCandidate candidate{
        .setup = setup, .memory = PredictMemory(setup), .time = PredictTime(setup)};
    if (Fits(question, candidate)) {
      result.ranked.push_back(std::move(candidate));
    } else if (!result.nearest || Smaller(candidate, *result.nearest)) {
      result.nearest = std::move(candidate);
    }
  }
  result.feasible_count = static_cast<int64_t>(result.ranked.size());
  if (!question.pins.offload) DropIdleOffload(result.ranked);
  Sort(question.objective, result.ranked);
  AddNotes(question, result);
  if (!result.ranked.empty()) result.nearest.reset();
  const auto most = static_cast<size_t>(question.ranked_count);
  if (result.ranked.size() > most) result.ranked.resize(most);
  return result;
}

}  // namespace tunesmith::runtimes
