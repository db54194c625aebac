#include "client/report_page.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "client/listings.h"
#include "client/memory_classes.h"
#include "client/show.h"
#include "client/show_explanation.h"
#include "client/svg_chart.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "common/version.h"

namespace tunesmith::client {
namespace {

constexpr char kStyle[] = R"(
:root { color-scheme: light dark; }
body { font: 15px/1.5 sans-serif; max-width: 900px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; font-size: 0.9em; display: block; overflow-x: auto; }
th, td { padding: 0.25em 0.7em; text-align: left; border-bottom: 1px solid rgba(128,128,128,0.3); vertical-align: top; }
td.n { text-align: right; white-space: nowrap; }
code { font-size: 0.95em; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; margin: 0.6em 0; }
)";

double Gigabytes(int64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(kGiB); }

std::string Section(const std::string& title, const std::string& body) {
  return body.empty() ? "" : StrCat("<h2>", EscapeHtml(title), "</h2>\n", body);
}

std::string Subject(const ReportInput& input) {
  const v1::PlanInputs& inputs = input.inputs;
  const v1::DeviceGroup& devices = inputs.devices();
  Listing rows({{"what", ""}, {"value", ""}}, "what");
  const auto add = [&](const char* what, const std::string& value) {
    if (!value.empty()) rows.AddRow({what, value});
  };
  if (input.job) add("job", StrCat(input.job->name(), ", ", StateName(input.job->state())));
  add("model", inputs.model().name());
  add("devices", StrCat(devices.node_count() > 1 ? StrCat(devices.node_count(), " nodes, ") : "",
                        devices.device_count(), " x ", devices.hardware().name()));
  add("context", StrCat(inputs.workload().context(), " tokens"));
  add("rows per step", StrCat(inputs.workload().rows_per_step()));
  add("mix", input.mix.mix_line());
  add("fits", input.mix.prediction().fits() ? "yes" : "no");
  add("program", input.mix.program_digest());
  if (input.job) {
    add("reason", input.job->reason());
    add("data set", input.job->spec().dataset_path());
    add("run directory", input.job->run_directory());
  }
  return rows.ToHtml();
}

std::string MemoryOfMixes(const ReportInput& input) {
  BarChart chart = {.title = "Memory of a device by class, GiB", .bars = {}};
  const auto add = [&](const std::string& label, const v1::RankedMix& mix) {
    const v1::MemoryPrediction& memory = mix.prediction().memory();
    Bar bar = {.label = label, .parts = {}, .text = Gib(memory.total_bytes()) + " GiB"};
    for (const MemoryClass& part : MemoryClasses(memory))
      bar.parts.push_back({part.name, Gigabytes(part.bytes), Gib(part.bytes) + " GiB"});
    chart.bars.push_back(std::move(bar));
  };
  add("this mix", input.mix);
  for (int i = 0; i < input.answer.ranked_size(); ++i) {
    if (input.answer.ranked(i).mix_line() != input.mix.mix_line())
      add(StrCat("rank ", i + 1), input.answer.ranked(i));
  }
  const int64_t budget = input.mix.prediction().memory().budget_bytes();
  chart.limit = Gigabytes(budget);
  chart.limit_text = StrCat("available ", Gib(budget), " GiB");
  return ToSvg(chart);
}

std::string MemoryByInstant(const v1::MemoryPrediction& memory) {
  BarChart chart = {.title = "What each instant of a job needs of the arena, GiB", .bars = {}};
  for (const v1::InstantNeed& need : memory.instants()) {
    const std::string text = Gib(need.arena_bytes()) + " GiB";
    chart.bars.push_back({need.instant(), {{"arena", Gigabytes(need.arena_bytes()), text}}, text});
  }
  return StrCat(ToSvg(chart), "<p>The arena is as large as its largest instant: ",
                EscapeHtml(memory.binding_instant()), ".</p>\n");
}

// A stream that others wait for counts once: hidden and exposed parts.
Bar StreamBar(const std::string& label, double busy_seconds, double exposed_seconds) {
  const double hidden = std::max(0.0, busy_seconds - exposed_seconds);
  return {.label = label,
          .parts = {{"hidden behind computing", hidden, FormatSeconds(hidden)},
                    {"the step waits for it", exposed_seconds, FormatSeconds(exposed_seconds)}},
          .text = FormatSeconds(busy_seconds)};
}

std::string TimeByStream(const v1::TimePrediction& time) {
  BarChart chart = {
      .title = "Time of a step by stream, seconds",
      .bars = {StreamBar("computing", time.compute_seconds(), time.compute_seconds())},
      .limit = time.step_seconds(),
      .limit_text = StrCat("step ", FormatSeconds(time.step_seconds()))};
  if (time.communication_seconds() > 0)
    chart.bars.push_back(StreamBar("between ranks", time.communication_seconds(),
                                   time.exposed_communication_seconds()));
  if (time.copy_seconds() > 0)
    chart.bars.push_back(
        StreamBar("to and from the host", time.copy_seconds(), time.exposed_copy_seconds()));
  return StrCat(ToSvg(chart), "<p>90 % interval ", EscapeHtml(FormatSeconds(time.low_seconds())),
                " to ", EscapeHtml(FormatSeconds(time.high_seconds())), ", from ",
                EscapeHtml(EvidenceName(time.evidence())), ".</p>\n");
}

std::string Front(const ReportInput& input) {
  Series front = {.name = "no mix is both quicker and smaller", .points = {}, .joined = false};
  Series chosen = {.name = "this mix", .points = {}, .joined = false};
  const auto add = [](const v1::RankedMix& mix, Series& series) {
    series.points.emplace_back(mix.prediction().time().step_seconds(),
                               Gigabytes(mix.prediction().memory().total_bytes()));
    series.labels.push_back(mix.mix_line());
  };
  for (const v1::RankedMix& mix : input.answer.pareto()) add(mix, front);
  add(input.mix, chosen);
  return ToSvg(XyChart{.title = "Step time and memory",
                       .x_title = "step, seconds",
                       .y_title = "memory, GiB",
                       .series = {front, chosen}});
}

std::string Ratio(double measured, double predicted) {
  return measured > 0 && predicted > 0
             ? absl::StrFormat("%+.1f %%", 100 * (measured / predicted - 1))
             : "-";
}

std::string Measured(const v1::Job& job) {
  if (!job.has_summary()) return "";
  const v1::Finished& summary = job.summary();
  Listing rows({{"what", ""},
                {"predicted", "predicted", true},
                {"measured", "measured", true},
                {"difference", "", true}},
               "what");
  rows.AddRow({"step", SecondsCell(summary.predicted_step_seconds()),
               SecondsCell(summary.measured_step_seconds()),
               Ratio(summary.measured_step_seconds(), summary.predicted_step_seconds())});
  rows.AddRow({"arena, GiB", BytesCell(summary.predicted_arena_bytes()),
               BytesCell(summary.used_arena_bytes()),
               Ratio(static_cast<double>(summary.used_arena_bytes()),
                     static_cast<double>(summary.predicted_arena_bytes()))});
  return rows.ToHtml();
}

std::string Curves(const std::vector<v1::Event>& events) {
  Series loss = {.name = "training loss", .points = {}},
         held_out = {.name = "held-out loss", .points = {}, .joined = false},
         rate = {.name = "tokens/s", .points = {}};
  for (const v1::Event& event : events) {
    if (event.has_progress()) {
      const auto step = static_cast<double>(event.progress().step());
      loss.points.emplace_back(step, event.progress().loss());
      rate.points.emplace_back(step, event.progress().tokens_per_second());
    } else if (event.has_evaluation()) {
      const v1::Evaluation& evaluation = event.evaluation();
      held_out.points.emplace_back(static_cast<double>(evaluation.step()), evaluation.mean_loss());
      held_out.labels.push_back(
          absl::StrFormat("step %d: %.4f", evaluation.step(), evaluation.mean_loss()));
    }
  }
  std::vector<Series> losses = {loss};
  if (!held_out.points.empty()) losses.push_back(held_out);
  return StrCat(
      ToSvg(XyChart{
          .title = "Loss", .x_title = "step", .y_title = "nats per token", .series = losses}),
      ToSvg(XyChart{.title = "Throughput",
                    .x_title = "step",
                    .y_title = "tokens/s",
                    .series = {rate},
                    .y_from_zero = true}));
}

std::string Notes(const v1::RecommendResponse& answer) {
  std::string items;
  for (const std::string& note : answer.notes())
    absl::StrAppend(&items, "<li>", EscapeHtml(note), "</li>\n");
  return items.empty() ? "" : StrCat("<ul>", items, "</ul>\n");
}

}  // namespace

std::string ReportPage(const ReportInput& input) {
  const std::string title = StrCat(input.job ? input.job->name() : std::string("Plan"), ": ",
                                   input.inputs.model().name());
  const v1::Prediction& prediction = input.mix.prediction();
  return StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>",
      EscapeHtml(title), "</title>\n<style>", kStyle, "</style></head>\n<body>\n<h1>",
      EscapeHtml(title), "</h1>\n", Subject(input),
      input.job ? Section("Predicted and measured", Measured(*input.job)) : "",
      Section("Training", Curves(input.events)), Section("Memory", MemoryOfMixes(input)),
      MemoryByInstant(prediction.memory()), Section("Time", TimeByStream(prediction.time())),
      Section("Choices",
              StrCat(Front(input), MixListing(input.answer.ranked(), /*starred=*/true).ToHtml(),
                     input.answer.choice_rule().empty()
                         ? ""
                         : StrCat("<p>Ranked by: ", EscapeHtml(input.answer.choice_rule()),
                                  ".</p>\n"))),
      Section("Why not otherwise", AlternativeListing(input.answer.explanation()).ToHtml()),
      Section("Notes", Notes(input.answer)), "<p><small>tunesmith ", Version(),
      "</small></p>\n</body></html>\n");
}

}  // namespace tunesmith::client
