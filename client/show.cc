#include "client/show.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "client/listings.h"
#include "client/memory_classes.h"
#include "client/pictures.h"
#include "client/show_explanation.h"
#include "client/style.h"
#include "client/table.h"
#include "common/text.h"
#include "common/units.h"
#include "google/protobuf/util/time_util.h"
#include "planner/answer/prediction.h"

namespace tunesmith::client {
namespace {

std::string MemoryTable(const v1::MemoryPrediction& memory) {
  Table table({"memory per device", "GiB"}, {1});
  for (const MemoryClass& part : MemoryClasses(memory)) {
    if (part.bytes > 0) table.AddRow({"  " + part.name, Gib(part.bytes)});
  }
  table.AddRow({"  total", Gib(memory.total_bytes())});
  table.AddRow({"  available", Gib(memory.budget_bytes())});
  if (memory.pinned_bytes() > 0) table.AddRow({"host, pinned", Gib(memory.pinned_bytes())});
  if (memory.pinned_bytes() > 0 || memory.host_budget_bytes() > 0)
    table.AddRow({"host, in all", Gib(memory.host_bytes())});
  return table.ToString() + StrCat("binds at: ", memory.binding_instant(), "\n");
}

std::string TimeLine(const v1::RankedMix& mix) {
  const v1::TimePrediction& time = mix.prediction().time();
  std::string line = StrCat("step: ", FormatSeconds(time.step_seconds()), " (90 % interval ",
                            FormatSeconds(time.low_seconds()), " to ",
                            FormatSeconds(time.high_seconds()), "; ", EvidenceName(time.evidence()),
                            "), ", absl::StrFormat("%.0f", time.tokens_per_second()), " tokens/s");
  if (time.total_hours() > 0)
    line += StrCat(", data set: ", FormatSeconds(time.total_hours() * 3600));
  if (time.save_seconds() > 0)
    line += StrCat(", a checkpoint: ", FormatSeconds(time.save_seconds()));
  if (mix.cost() > 0)
    line += StrCat(", ", absl::StrFormat("%.2f", mix.device_hours()), " device-hours, cost ",
                   absl::StrFormat("%.2f", mix.cost()));
  if (time.copy_seconds() > 0)
    line += StrCat(", copies to and from the host: ", FormatSeconds(time.copy_seconds()), ", ",
                   FormatSeconds(time.exposed_copy_seconds()), " of it not hidden");
  if (time.communication_seconds() > 0)
    line += StrCat(", between ranks: ", FormatSeconds(time.communication_seconds()), ", ",
                   FormatSeconds(time.exposed_communication_seconds()), " of it not hidden");
  return line + "\n" + (time.note().empty() ? "" : StrCat("note: ", time.note(), "\n"));
}

std::string NoteLines(const auto& notes) {
  std::string lines;
  for (const std::string& note : notes) lines += StrCat("note: ", note, "\n");
  return lines;
}

std::string RejectionLines(const v1::RecommendResponse& answer) {
  std::string lines;
  for (const v1::Rejection& rejection : answer.rejections()) {
    lines += StrCat("rejected: ", rejection.mix_count(), " mixes, ", rejection.reason());
    if (rejection.least_needed_bytes() > 0) {
      lines += StrCat(" (the smallest needs ", Gib(rejection.least_needed_bytes()),
                      " GiB, there are ", Gib(rejection.available_bytes()), ")");
    }
    lines += "\n";
  }
  return lines;
}

std::vector<planner::Shortage> ShortagesOf(const v1::MemoryPrediction& memory) {
  return planner::ShortagesOf({.total_bytes = memory.total_bytes(),
                               .budget_bytes = memory.budget_bytes(),
                               .pinned_bytes = memory.pinned_bytes(),
                               .host_bytes = memory.host_bytes(),
                               .pinned_budget_bytes = memory.pinned_budget_bytes(),
                               .host_budget_bytes = memory.host_budget_bytes()});
}

std::string NothingFits(const v1::RecommendResponse& answer) {
  std::string text = Styled(Style::kBad, "nothing fits") + "\n";
  if (answer.has_nearest()) {
    const v1::MemoryPrediction& memory = answer.nearest().prediction().memory();
    text += StrCat("nearest: ", answer.nearest().mix_line(), "\n");
    for (const planner::Shortage& lack : ShortagesOf(memory))
      text += StrCat("needs ", Gib(lack.needed_bytes), " GiB", OfMemory(lack),
                     " per device, available ", Gib(lack.available_bytes), ", missing ",
                     Gib(MissingBytes(lack)), "\n");
    text += MemoryTable(memory);
  }
  return text + RejectionLines(answer);
}

// "missing 1.20 GiB per device"
std::string Missing(const v1::MemoryPrediction& memory) {
  std::vector<std::string> amounts;
  for (const planner::Shortage& lack : ShortagesOf(memory))
    amounts.push_back(StrCat(Gib(MissingBytes(lack)), " GiB", OfMemory(lack)));
  return StrCat("missing ", StrJoin(amounts, " and "), " per device");
}

constexpr int kPlotHeight = 10;
constexpr int kBarMargin = 30;  // what stands beside a bar

int PictureWidth() { return std::clamp(TerminalWidth() - kBarMargin, 20, 100); }

// After the ranking and after the front, where pictures are wanted.
std::string RankingPicture(const Output& output, const v1::RecommendResponse& answer) {
  if (!output.pictures && !DrawsUnasked()) return "";
  return StrCat("\nmemory of each mix:\n", MemoryBars(answer.ranked(), PictureWidth()));
}

std::string FrontPicture(const Output& output, const v1::RecommendResponse& answer) {
  if (!output.pictures && !DrawsUnasked()) return "";
  return StrCat("\n", FrontPlot(answer.pareto(), PictureWidth(), kPlotHeight));
}

std::string ProgressText(const v1::Job& job) {
  if (!job.has_progress()) return "-";
  return StrCat(job.progress().step(), "/", job.progress().step_count());
}

// The loss before training is not known of jobs that an earlier version began.
std::string HeldOutLosses(const v1::Finished& summary) {
  const std::string after = absl::StrFormat("%.4f after", summary.held_out_loss_after());
  if (!summary.has_held_out_loss_before()) return after;
  return StrCat(absl::StrFormat("%.4f before, ", summary.held_out_loss_before()), after);
}

// An attempt that goes on after the last step takes none.
std::string MeasuredStep(const v1::Finished& summary) {
  if (summary.measured_step_seconds() == 0) return "not measured";
  return StrCat("measured ", FormatSeconds(summary.measured_step_seconds()));
}

}  // namespace

std::string Gib(int64_t bytes) {
  return absl::StrFormat("%.2f", static_cast<double>(bytes) / static_cast<double>(kGiB));
}

std::string When(const google::protobuf::Timestamp& time) {
  return time.seconds() == 0 ? "-"
                             : google::protobuf::util::TimeUtil::ToString(time).substr(0, 19) + "Z";
}

std::string CauseName(v1::EndCause cause) {
  return v1::EndCause_Name(cause).substr(std::string_view("END_CAUSE_").size());
}

std::string EvidenceName(v1::Evidence evidence) {
  switch (evidence) {
    case v1::EVIDENCE_MEASURED_HERE:
      return "measured here";
    case v1::EVIDENCE_MEASURED_ON_KIND:
      return "measured on this GPU kind";
    default:
      return "datasheet";
  }
}

std::string ShowPrediction(const v1::RankedMix& mix) {
  return MemoryTable(mix.prediction().memory()) + TimeLine(mix);
}

std::string ShowNotes(const std::vector<std::string>& notes) { return NoteLines(notes); }

std::string StateName(v1::JobState state) {
  return v1::JobState_Name(state).substr(std::string_view("JOB_STATE_").size());
}

std::string ShowRecommendation(const Output& output, const v1::RecommendResponse& answer,
                               const std::vector<std::string>& notes) {
  const std::string tail = NoteLines(notes) + NoteLines(answer.notes());
  if (answer.ranked().empty()) return NothingFits(answer) + ShowChanges(answer) + tail;
  const std::string front =
      answer.pareto().empty()
          ? ""
          : StrCat("\nno mix is both quicker and smaller than one of these:\n",
                   TextOf(output, MixListing(answer.pareto(), /*starred=*/false)),
                   FrontPicture(output, answer));
  return StrCat(TextOf(output, MixListing(answer.ranked(), /*starred=*/true)),
                "* chosen: ", answer.choice_rule(), "\n", RankingPicture(output, answer), "\n",
                ShowPrediction(answer.ranked(0)), answer.candidate_count(),
                " mixes: ", answer.evaluated_count(), " priced, the others excluded by bounds",
                answer.deadline_reached() ? "; the search was cut short by the deadline" : "", "\n",
                front, answer.has_explanation() ? ShowExplanation(answer.explanation()) : "", tail);
}

std::string ShowEstimate(const Output&, const v1::EstimateResponse& answer,
                         const std::vector<std::string>& notes) {
  const v1::Prediction& prediction = answer.estimate().prediction();
  const std::string verdict =
      prediction.fits() ? "fits\n" : StrCat("does not fit: ", Missing(prediction.memory()), "\n");
  return StrCat(answer.estimate().mix_line(), "\n", verdict, MemoryTable(prediction.memory()),
                TimeLine(answer.estimate()), NoteLines(notes));
}

std::string ShowSubmission(const v1::RenderedSubmission& submission) {
  std::string text = StrCat("Nothing was submitted. ", submission.launcher(),
                            " would be given this command:\n\n  ");
  for (const std::string& argument : submission.arguments()) absl::StrAppend(&text, argument, " ");
  text.back() = '\n';
  for (const v1::RenderedFile& file : submission.files())
    absl::StrAppend(&text, "\n--- ", file.path(), "\n", file.text(), "\n");
  absl::StrAppend(&text, "\noutlook: ", submission.outlook(), "\n");
  return text;
}

std::string ShowJob(const v1::Job& job) {
  Table table({"job", job.name()});
  const bool stopping = job.cancel_requested() && job.end_time().seconds() == 0;
  table.AddRow({"state", StateName(job.state()) + (stopping ? ", stopping" : "")});
  if (!job.reason().empty()) table.AddRow({"reason", job.reason()});
  if (job.cause() != v1::END_CAUSE_UNSPECIFIED) table.AddRow({"cause", CauseName(job.cause())});
  if (job.has_expected_start_time())
    table.AddRow({"starts", StrCat(When(job.expected_start_time()), ", as expected now")});
  table.AddRow({"model", job.spec().model_path()});
  table.AddRow({"data set", job.spec().dataset_path()});
  table.AddRow({"attempt", StrCat(job.attempt())});
  table.AddRow({"created", When(job.create_time())});
  table.AddRow({"started", When(job.start_time())});
  table.AddRow({"ended", When(job.end_time())});
  table.AddRow({"step", ProgressText(job)});
  if (job.has_progress()) table.AddRow({"loss", absl::StrFormat("%.4f", job.progress().loss())});
  table.AddRow({"run directory", job.run_directory()});
  if (job.has_summary()) {
    const v1::Finished& summary = job.summary();
    if (summary.has_held_out_loss_after()) table.AddRow({"held-out loss", HeldOutLosses(summary)});
    table.AddRow({"arena", StrCat("predicted ", FormatBytes(summary.predicted_arena_bytes()),
                                  ", used ", FormatBytes(summary.used_arena_bytes()))});
    table.AddRow({"step time", StrCat("predicted ", FormatSeconds(summary.predicted_step_seconds()),
                                      ", ", MeasuredStep(summary))});
    const bool earlier = summary.output_step() > 0 && summary.output_step() < job.progress().step();
    table.AddRow(
        {"result", StrCat(summary.adapter_dir(),
                          earlier ? StrCat(" (of step ", summary.output_step(), ")") : "")});
    if (!summary.merged_dir().empty()) table.AddRow({"merged model", summary.merged_dir()});
  }
  return table.ToString();
}

}  // namespace tunesmith::client
