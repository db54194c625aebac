#include "tests/benchmarks/published/report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "common/str_cat.h"

namespace tunesmith::published {
namespace {

std::vector<Judged> OfKind(const std::vector<Judged>& all, std::initializer_list<Kind> kinds) {
  std::vector<Judged> some;
  for (const Judged& judged : all) {
    if (std::find(kinds.begin(), kinds.end(), judged.kind) != kinds.end()) some.push_back(judged);
  }
  return some;
}

std::vector<Judged> HeldOut(const std::vector<Judged>& all) {
  std::vector<Judged> some;
  for (const Judged& judged : all) {
    if (judged.held_out) some.push_back(judged);
  }
  return some;
}

std::map<std::string, std::vector<Judged>> BySource(const std::vector<Judged>& all) {
  std::map<std::string, std::vector<Judged>> sources;
  for (const Judged& judged : all) sources[judged.source].push_back(judged);
  return sources;
}

double WeightedMedian(std::vector<std::pair<double, double>> values_and_weights) {
  std::sort(values_and_weights.begin(), values_and_weights.end());
  double total = 0, sum = 0;
  for (const auto& [value, weight] : values_and_weights) total += weight;
  for (const auto& [value, weight] : values_and_weights) {
    sum += weight;
    if (sum >= total / 2) return value;
  }
  return 0;
}

std::string FiguresLine(std::string_view name, const Figures& figures) {
  return absl::StrFormat("  %-26s %5d  %6.1f %6.1f %7.1f  %5.0f %5.0f\n", name, figures.row_count,
                         100 * figures.mean, 100 * figures.median, 100 * figures.worst,
                         100 * figures.within_10_percent, 100 * figures.inside_interval);
}

std::string KindText(std::string_view title, const std::vector<Judged>& judged) {
  std::string text = absl::StrFormat("%-28s  rows   mean median   worst  <10%% inside\n", title);
  for (const auto& [source, rows] : BySource(judged))
    text += FiguresLine(source, FiguresOf(rows, Error));
  text += FiguresLine("all, sources alike", FiguresOf(judged, Error));
  const std::vector<Judged> held_out = HeldOut(judged);
  if (held_out.empty() || held_out.size() == judged.size()) return text;
  return text + FiguresLine("of them held out", FiguresOf(held_out, Error));
}

double DeepSpeedError(const Judged& judged) { return judged.deepspeed / judged.measured - 1; }
double AccelerateError(const Judged& judged) { return judged.accelerate / judged.measured - 1; }
double EighteenError(const Judged& judged) { return judged.eighteen / judged.measured - 1; }

std::string OthersText(const std::vector<Judged>& memory) {
  std::string text =
      absl::StrFormat("%-28s  rows   mean median   worst  <10%%\n", "the same rows by");
  const auto line = [&](std::string_view name, double (*error)(const Judged&)) {
    const Figures figures = FiguresOf(memory, error);
    text += absl::StrFormat("  %-26s %5d  %6.1f %6.1f %7.1f  %5.0f\n", name, figures.row_count,
                            100 * figures.mean, 100 * figures.median, 100 * figures.worst,
                            100 * figures.within_10_percent);
  };
  line("tunesmith", Error);
  line("DeepSpeed's estimator", DeepSpeedError);
  line("accelerate estimate-memory", AccelerateError);
  line("18 bytes a parameter", EighteenError);
  return text;
}

struct Confusion {
  int64_t fits_right = 0, fits_wrong = 0, ooms_right = 0, ooms_wrong = 0;
};
Confusion ConfusionOf(const std::vector<Fit>& fits) {
  Confusion confusion;
  for (const Fit& fit : fits) {
    if (fit.fits) ++(fit.predicted ? confusion.fits_right : confusion.fits_wrong);
    if (!fit.fits) ++(fit.predicted ? confusion.ooms_wrong : confusion.ooms_right);
  }
  return confusion;
}

double Share(int64_t part, int64_t other) {
  return part + other == 0 ? 0 : static_cast<double>(part) / static_cast<double>(part + other);
}
double BalancedAccuracy(const Confusion& confusion) {
  return (Share(confusion.fits_right, confusion.fits_wrong) +
          Share(confusion.ooms_right, confusion.ooms_wrong)) /
         2;
}

std::string FitText(const std::vector<Fit>& fits) {
  const Confusion all = ConfusionOf(fits);
  std::string text = absl::StrFormat(
      "fit or not: %d of %d runs that fit, %d of %d out of memory, balanced accuracy %.3f\n",
      all.fits_right, all.fits_right + all.fits_wrong, all.ooms_right,
      all.ooms_right + all.ooms_wrong, BalancedAccuracy(all));
  std::string wrong;
  for (const Fit& fit : fits) {
    if (fit.fits != fit.predicted) wrong += " " + fit.id;
  }
  return text + (wrong.empty() ? "" : "  wrong:" + wrong + "\n");
}

std::string LeftOutText(const std::vector<LeftOut>& left_out) {
  std::map<std::string, std::vector<std::string>> reasons;
  for (const LeftOut& row : left_out) reasons[row.reason].push_back(row.id);
  std::string text = absl::StrFormat("left out: %d\n", left_out.size());
  for (const auto& [reason, ids] : reasons) {
    text += absl::StrFormat("  %5d  %s (%s%s)\n", ids.size(), reason, ids.front(),
                            ids.size() > 1 ? " to " + ids.back() : "");
  }
  return text;
}

}  // namespace

double Error(const Judged& judged) { return judged.error(); }

Figures FiguresOf(const std::vector<Judged>& judged, double (*error)(const Judged&)) {
  Figures figures;
  std::vector<std::pair<double, double>> errors;
  const auto sources = BySource(judged);
  for (const auto& [source, rows] : sources) {
    const double weight = 1 / static_cast<double>(rows.size() * sources.size());
    for (const Judged& row : rows) {
      const double size = std::abs(error(row));
      errors.emplace_back(size, weight);
      figures.mean += weight * size;
      figures.worst = std::max(figures.worst, size);
      if (size <= 0.1) figures.within_10_percent += weight;
      if (row.inside_interval) figures.inside_interval += weight;
    }
  }
  figures.row_count = static_cast<int64_t>(judged.size());
  figures.source_count = static_cast<int64_t>(sources.size());
  figures.median = WeightedMedian(std::move(errors));
  return figures;
}

std::string ReportText(const Judgement& judgement) {
  const std::vector<Judged>& all = judgement.judged;
  std::string text =
      "absolute errors in percent; every source counts alike; inside: measured within the 90 % "
      "interval\n\n";
  text += KindText("allocated", OfKind(all, {Kind::kAllocated})) + "\n";
  text += KindText("reserved and process", OfKind(all, {Kind::kReserved, Kind::kProcess})) + "\n";
  text += KindText("unit GB or GiB (the kinder)", OfKind(all, {Kind::kAmbiguous})) + "\n";
  text += KindText("time, device known", OfKind(all, {Kind::kTime})) + "\n";
  text += KindText("time, device not known", OfKind(all, {Kind::kTimeElsewhere})) + "\n";
  text += OthersText(OfKind(all, {Kind::kAllocated, Kind::kReserved, Kind::kProcess})) + "\n";
  text += FitText(judgement.fits) + "\n";
  return text + LeftOutText(judgement.left_out);
}

std::string ReportJson(const Judgement& judgement, int64_t bad_row_count) {
  const std::vector<Judged>& all = judgement.judged;
  const Figures allocated = FiguresOf(OfKind(all, {Kind::kAllocated}), Error);
  const Figures reserved = FiguresOf(OfKind(all, {Kind::kReserved, Kind::kProcess}), Error);
  const Figures ambiguous = FiguresOf(OfKind(all, {Kind::kAmbiguous}), Error);
  const Figures time = FiguresOf(OfKind(all, {Kind::kTime}), Error);
  const Figures elsewhere = FiguresOf(OfKind(all, {Kind::kTimeElsewhere}), Error);
  const Figures reserved_held_out =
      FiguresOf(HeldOut(OfKind(all, {Kind::kReserved, Kind::kProcess})), Error);
  const Figures time_held_out = FiguresOf(HeldOut(OfKind(all, {Kind::kTime})), Error);
  const nlohmann::ordered_json json = {
      {"allocated_row_count", allocated.row_count},
      {"allocated_mape", allocated.mean},
      {"allocated_worst", allocated.worst},
      {"reserved_row_count", reserved.row_count},
      {"reserved_median", reserved.median},
      {"reserved_within_10_percent", reserved.within_10_percent},
      {"reserved_inside_interval", reserved.inside_interval},
      {"reserved_held_out_median", reserved_held_out.median},
      {"reserved_held_out_within_10_percent", reserved_held_out.within_10_percent},
      {"time_row_count", time.row_count},
      {"time_mape", time.mean},
      {"time_median", time.median},
      {"time_held_out_mape", time_held_out.mean},
      {"time_held_out_median", time_held_out.median},
      {"time_elsewhere_row_count", elsewhere.row_count},
      {"time_elsewhere_mape", elsewhere.mean},
      {"time_elsewhere_inside_interval", elsewhere.inside_interval},
      {"fit_row_count", judgement.fits.size()},
      {"fit_balanced_accuracy", BalancedAccuracy(ConfusionOf(judgement.fits))},
      {"ambiguous_row_count", ambiguous.row_count},
      {"ambiguous_mape", ambiguous.mean},
      {"left_out_row_count", judgement.left_out.size()},
      {"bad_row_count", bad_row_count}};
  return json.dump() + "\n";
}

std::string RowsText(const Judgement& judgement) {
  std::string text =
      "id,kind,predicted,measured,error,inside,setup,load,loss,backward,optimizer_step,weights,"
      "gradients,moments,"
      "temporary,window,saved,live_block,logits\n";
  for (const Judged& row : judgement.judged) {
    text +=
        absl::StrFormat("%s,\"%s\",%.6g,%.6g,%+.4f,%d,%s", row.id, KindName(row.kind),
                        row.predicted, row.measured, row.error(), row.inside_interval, row.setup);
    const runtimes::MemoryPrediction& memory = row.memory;
    for (const int64_t bytes : memory.instant_bytes) absl::StrAppendFormat(&text, ",%d", bytes);
    for (const int64_t bytes : {memory.weight_bytes, memory.gradient_bytes, memory.optimizer_bytes,
                                memory.optimizer_temporary_bytes, memory.window_bytes,
                                memory.saved_bytes, memory.live_block_bytes, memory.loss_bytes}) {
      absl::StrAppendFormat(&text, ",%d", bytes);
    }
    text += "\n";
  }
  for (const Fit& fit : judgement.fits)
    text += absl::StrFormat("%s,\"%s\",%d,%d\n", fit.id, "fits", fit.predicted, fit.fits);
  for (const LeftOut& row : judgement.left_out)
    text += absl::StrFormat("left-out,%s,%s\n", row.id, row.reason);
  return text;
}

}  // namespace tunesmith::published
