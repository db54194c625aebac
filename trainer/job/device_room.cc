#include "trainer/job/device_room.h"

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/str_cat.h"
#include "common/text.h"
#include "common/units.h"
#include "planner/answer/changes.h"
#include "planner/answer/search.h"
#include "planner/model/mix.h"

namespace tunesmith::trainer {
namespace {

constexpr absl::Duration kMostSearchTime = absl::Seconds(3);

// The plan's question with so much memory; room for the context and workspaces, which are there already, comes on top.
planner::Question WithinFreeMemory(const convert::Plan& plan, int64_t free_bytes) {
  planner::Question question = plan.question;
  question.memory_budget_bytes = free_bytes + plan.prediction.memory.outside_arena_bytes;
  question.deadline = absl::Now() + kMostSearchTime;
  return question;
}

std::string Longer(const planner::Prediction& other, const planner::Prediction& planned) {
  const double ratio = other.time.step_seconds / planned.time.step_seconds;
  return absl::StrFormat("%.2f times the planned step", ratio);
}

// What to do, as a sentence's end.
std::string Cure(const convert::Plan& plan, int64_t free_bytes) {
  const planner::Question question = WithinFreeMemory(plan, free_bytes);
  const std::string otherwise = "end what else runs on the device, or plan for a smaller device";
  const auto result = planner::Recommend(question);
  if (!result.ok()) return otherwise;
  if (!result->ranked.empty()) {
    const planner::Prediction& best = result->ranked[0];
    return StrCat("end what else runs there, or plan again with --memory-budget ",
                  question.memory_budget_bytes, " (", FormatBytes(question.memory_budget_bytes),
                  "): ", planner::FormatMix(best.mix), " fits, at ", Longer(best, plan.prediction));
  }
  if (!result->nearest) return otherwise;
  const auto changes = planner::CheapestChanges(question, *result->nearest);
  if (!changes.ok() || changes->changes.empty()) return otherwise;
  return StrCat("end what else runs there; no mix fits in what is free, but one would: ",
                changes->changes[0].sentence);
}

}  // namespace

absl::Status CheckDeviceRoom(const convert::Plan& plan, const DeviceRoom& room) {
  const int64_t arena_bytes = plan.prediction.memory.arena_bytes;
  if (arena_bytes <= room.free_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      StrCat(room.device, " has ", FormatBytes(room.free_bytes), " free of ",
             FormatBytes(room.memory_bytes), " and the plan's arena takes ",
             FormatBytes(arena_bytes), ", ", FormatBytes(arena_bytes - room.free_bytes),
             " more: other processes hold memory there (nvidia-smi lists them); ",
             Cure(plan, room.free_bytes)));
}

}  // namespace tunesmith::trainer
