#include "tests/benchmarks/published/judged.h"

#include <array>
#include <cmath>

#include "common/text.h"
#include "common/units.h"
#include "runtimes/estimators.h"
#include "tests/benchmarks/published/setups.h"

namespace tunesmith::published {
namespace {

using runtimes::Interval;
using runtimes::MemoryPrediction;
using runtimes::RunSetup;
using runtimes::TimePrediction;

constexpr double kGib = static_cast<double>(kGiB);

bool IsGraded(const std::string& grade) { return grade == "A" || grade == "B"; }

bool Inside(const Interval& interval, double value) {
  return static_cast<double>(interval.low_bytes) <= value &&
         value <= static_cast<double>(interval.high_bytes);
}

// Tables that constants were set from; see docs/benchmarks/published.md. Allocated bytes rest on all three tables that there are.
bool IsHeldOut(const Row& row, Kind kind) {
  const std::string source = row.SourceKey();
  switch (kind) {
    case Kind::kAllocated:
      return false;
    case Kind::kReserved:
    case Kind::kProcess:
      return source != "fms" && source != "ultr" && source != "mleng";
    case Kind::kTime:
      if (source == "fms") return ContainsIgnoreCase(row.Text("source"), "liger");
      return source != "qwen" && source != "ultr" && source != "mleng" && source != "fsdpqlora";
    case Kind::kAmbiguous:
    case Kind::kTimeElsewhere:
      return true;
  }
  return false;
}

class RowJudge {
 public:
  RowJudge(const Row& row, const RunSetup& setup, Judgement& judgement)
      : row_(row),
        setup_(setup),
        memory_(runtimes::PredictMemory(setup)),
        time_(runtimes::PredictTime(setup)),
        judgement_(judgement) {}

  void Run() {
    JudgeFit();
    JudgeMemory();
    JudgeTime();
  }

 private:
  void LeaveOut(std::string reason) { judgement_.left_out.push_back({std::move(reason), row_.id}); }

  bool MeasuredMemory() const {
    return row_.Number("peak_mem_gib_per_gpu") || row_.Number("peak_alloc_gib");
  }

  void JudgeFit() {
    const std::string& oom = row_.Text("oom");
    if (oom != "true" && !(oom == "false" && MeasuredMemory())) return;
    if (!IsGraded(row_.Text("grade_mem"))) return LeaveOut("fit of grade C");
    judgement_.fits.push_back({row_.id, row_.SourceKey(), oom == "false", memory_.fits});
  }

  void JudgeMemory() {
    if (!MeasuredMemory()) return;
    if (!IsGraded(row_.Text("grade_mem"))) return LeaveOut("memory of grade C");
    if (const auto gib = row_.Number("peak_alloc_gib"))
      AddBytes(Kind::kAllocated, memory_.allocated, *gib * kGib);
    const auto gib = row_.Number("peak_mem_gib_per_gpu");
    if (!gib) return;
    const std::string& kind = row_.Text("peak_mem_kind");
    if (ContainsIgnoreCase(row_.Text("peak_mem_unit"), "ambiguous")) return AddAmbiguous(*gib);
    // "torch max_memory_reserved (peak_alloc_gib = max_memory_allocated)" is reserved.
    if (ContainsIgnoreCase(kind, "nvidia-smi"))
      return AddBytes(Kind::kProcess, memory_.process, *gib * kGib);
    if (ContainsIgnoreCase(kind, "reserved"))
      return AddBytes(Kind::kReserved, memory_.reserved, *gib * kGib);
    if (ContainsIgnoreCase(kind, "allocated"))
      return AddBytes(Kind::kAllocated, memory_.allocated, *gib * kGib);
    LeaveOut(StrCat("kind of memory not stated: ", kind));
  }

  // GB or GiB, and nvidia-smi or reserved: the unit that is nearer to what a process holds.
  void AddAmbiguous(double value) {
    const double predicted = static_cast<double>(memory_.process.bytes);
    const double gb = value * 1e9, gib = value * kGib;
    const bool is_gb = std::abs(predicted / gb - 1) < std::abs(predicted / gib - 1);
    AddBytes(Kind::kAmbiguous, memory_.process, is_gb ? gb : gib);
  }

  void AddBytes(Kind kind, const Interval& predicted, double measured) {
    const runtimes::EstimatorBytes others = runtimes::OtherEstimates(setup_);
    judgement_.judged.push_back({.id = row_.id,
                                 .source = row_.SourceKey(),
                                 .kind = kind,
                                 .predicted = static_cast<double>(predicted.bytes),
                                 .measured = measured,
                                 .inside_interval = Inside(predicted, measured),
                                 .held_out = IsHeldOut(row_, kind),
                                 .deepspeed = others.deepspeed,
                                 .accelerate = others.accelerate,
                                 .eighteen = others.eighteen_per_parameter,
                                 .setup = runtimes::FormatSetup(setup_),
                                 .memory = memory_});
  }

  void JudgeTime() {
    const std::optional<double> seconds = MeasuredStepSeconds();
    if (!seconds) return;
    if (!IsGraded(row_.Text("grade_time"))) return LeaveOut("time of grade C");
    const Kind kind = time_.known_device ? Kind::kTime : Kind::kTimeElsewhere;
    const bool inside = time_.low_seconds <= *seconds && *seconds <= time_.high_seconds;
    judgement_.judged.push_back({.id = row_.id,
                                 .source = row_.SourceKey(),
                                 .kind = kind,
                                 .predicted = time_.step_seconds,
                                 .measured = *seconds,
                                 .inside_interval = inside,
                                 .held_out = IsHeldOut(row_, kind),
                                 .setup = runtimes::FormatSetup(setup_)});
  }

  // Tokens per second where they are published (they leave warm-up out), else seconds; those of micro-steps are turned into steps.
  std::optional<double> MeasuredStepSeconds() const {
    const double tokens = static_cast<double>(runtimes::MicroTokens(setup_)) *
                          static_cast<double>(setup_.accumulation_count);
    if (const auto rate = row_.Number("tokens_per_s_per_gpu")) return tokens / *rate;
    if (const auto seconds = row_.Number("s_per_iter")) {
      const bool micro = ContainsIgnoreCase(row_.Text("notes"), "one micro-batch");
      return *seconds * (micro ? static_cast<double>(setup_.accumulation_count) : 1);
    }
    if (const auto rate = row_.Number("derived_tok_s_per_gpu")) return tokens / *rate;
    return std::nullopt;
  }

  const Row& row_;
  const RunSetup& setup_;
  MemoryPrediction memory_;
  TimePrediction time_;
  Judgement& judgement_;
};

}  // namespace

std::string_view KindName(Kind kind) {
  constexpr std::array<std::string_view, kKindCount> kNames = {
      "allocated",      "reserved", "process",
      "ambiguous unit", "time",     "time, device or stack not known"};
  return kNames[static_cast<size_t>(kind)];
}

Judgement JudgeRows(const std::vector<Row>& rows) {
  Judgement judgement;
  for (const Row& row : rows) {
    const auto setup = SetupOfRow(row);
    if (!setup.ok()) {
      judgement.left_out.push_back({std::string(setup.status().message()), row.id});
      continue;
    }
    RowJudge(row, *setup, judgement).Run();
  }
  return judgement;
}

}  // namespace tunesmith::published
