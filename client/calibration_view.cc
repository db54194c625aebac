#include "client/calibration_view.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/show.h"
#include "client/table.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "planner/model/mix_names.h"
#include "proto/convert/prediction.h"

namespace tunesmith::client {
namespace {

using google::protobuf::RepeatedPtrField;

constexpr absl::Duration kPollInterval = absl::Milliseconds(300);
constexpr absl::Duration kPatience = absl::Minutes(1);

std::string UseName(v1::CalibrationUse use) {
  switch (use) {
    case v1::CALIBRATION_USE_IN_USE:
      return "in use";
    case v1::CALIBRATION_USE_OLDER:
      return "older";
    case v1::CALIBRATION_USE_FOREIGN:
      return "of another host, or of another version";
    case v1::CALIBRATION_USE_DELETED:
      return "deleted";
    default:
      return "-";
  }
}

std::string StateName(v1::CalibrationRunState state) {
  return absl::AsciiStrToLower(v1::CalibrationRunState_Name(state).substr(
      std::string_view("CALIBRATION_RUN_STATE_").size()));
}

Cell PercentCell(double share) {
  return {absl::StrFormat("%.0f %%", 100 * share), absl::StrFormat("%.4g", share)};
}

std::string RateText(double bytes_per_second) {
  return absl::StrFormat("%.3g GB/s", 1e-9 * bytes_per_second);
}

// The rates of one kind of op.
struct Span {
  int64_t count = 0;
  double least = 0;
  double most = 0;

  void Add(double rate) {
    least = count == 0 ? rate : std::min(least, rate);
    most = std::max(most, rate);
    ++count;
  }
};

template <typename Points, typename RateOf>
void AddRows(const Points& points, const char* unit, const RateOf& rate_of, Table& table) {
  std::map<std::string, Span> spans;
  for (const auto& point : points) spans[point.op_kind()].Add(rate_of(point));
  for (const auto& [kind, span] : spans)
    table.AddRow({kind, StrCat(span.count), absl::StrFormat("%.3g", 1e-9 * span.least),
                  absl::StrFormat("%.3g", 1e-9 * span.most), unit});
}

std::string ShowTables(const v1::Calibration& c) {
  Table table({"op", "points", "least", "most", "in"}, {1, 2, 3});
  const auto flops = [](const auto& point) { return point.flops_per_second(); };
  AddRows(c.gemm(), "GFLOP/s", flops, table);
  AddRows(c.attention(), "GFLOP/s", flops, table);
  AddRows(
      c.rates(), "GB/s", [](const auto& point) { return point.bytes_per_second(); }, table);
  return table.ToString();
}

std::string PrecisionName(const v1::Calibration& calibration) {
  return std::string(planner::NameOf(planner::kPrecisionNames, convert::PrecisionOf(calibration)));
}

}  // namespace

Listing CalibrationRecordListing(const RepeatedPtrField<v1::CalibrationRecord>& records) {
  Listing listing({{"calibration", "calibration"},
                   {"device", "device"},
                   {"precision", "precision"},
                   {"measured_at", "measured at"},
                   {"relative_error", "interval", true},
                   {"point_count", "points", true},
                   {"use", "use"},
                   {"source", "from"},
                   {"host", "host", false, true}},
                  "calibration");
  for (const v1::CalibrationRecord& record : records) {
    const v1::Calibration& c = record.calibration();
    listing.AddRow({c.id(), c.device_name(), PrecisionName(c), c.measured_at(),
                    PercentCell(c.relative_error()), CountCell(record.point_count()),
                    UseName(record.use()), record.source().empty() ? "-" : record.source(),
                    c.fingerprint()});
  }
  return listing;
}

Listing CalibrationRunListing(const RepeatedPtrField<v1::CalibrationRun>& runs) {
  Listing listing({{"run", "run"},
                   {"state", "state"},
                   {"device", "device"},
                   {"model", "model"},
                   {"done_probe_count", "programs", true},
                   {"probe_count", "of", true},
                   {"create_time", "created"},
                   {"calibration", "calibration"},
                   {"reason", "reason"}},
                  "run");
  for (const v1::CalibrationRun& run : runs) {
    listing.AddRow({run.name(), StateName(run.state()), run.spec().device(),
                    run.spec().model_name(), CountCell(run.progress().done_probe_count()),
                    CountCell(run.progress().probe_count()), When(run.create_time()),
                    run.calibration().empty() ? Cell("-", "") : Cell(run.calibration()),
                    run.reason()});
  }
  return listing;
}

std::string ShowCalibrationRecord(const v1::CalibrationRecord& record) {
  const v1::Calibration& c = record.calibration();
  Table table({"calibration", c.id()});
  table.AddRow({"device", c.device_name()});
  table.AddRow({"precision", PrecisionName(c)});
  table.AddRow({"host", c.fingerprint()});
  table.AddRow({"measured at", c.measured_at()});
  table.AddRow({"use", UseName(record.use())});
  if (!record.source().empty()) table.AddRow({"from", record.source()});
  if (record.has_delete_time()) table.AddRow({"deleted", When(record.delete_time())});
  table.AddRow({"interval", absl::StrFormat("%.0f %% (90 %% of steps)", 100 * c.relative_error())});
  table.AddRow({"step factor", absl::StrFormat("%.3f", c.step_factor())});
  if (c.outside_arena_bytes() > 0)
    table.AddRow({"outside the arena", FormatBytes(c.outside_arena_bytes())});
  if (c.host_memory_bytes_per_second() > 0)
    table.AddRow({"host's memory", RateText(c.host_memory_bytes_per_second())});
  if (c.link_to_device_bytes_per_second() > 0)
    table.AddRow({"pinned memory to the device", RateText(c.link_to_device_bytes_per_second())});
  if (c.link_from_device_bytes_per_second() > 0)
    table.AddRow({"and back", RateText(c.link_from_device_bytes_per_second())});
  if (c.sharing_factor() > 0)
    table.AddRow({"ranks that share it",
                  absl::StrFormat("%.2f times the time of equal parts", c.sharing_factor())});
  if (c.checkpoint_bytes_per_second() > 0)
    table.AddRow({"checkpoints", RateText(c.checkpoint_bytes_per_second())});
  if (c.pace_seconds() > 0) table.AddRow({"pace", FormatSeconds(c.pace_seconds())});
  if (c.clock_hertz() > 0)
    table.AddRow({"clock", absl::StrFormat("%.2f GHz", 1e-9 * c.clock_hertz())});
  if (c.busy_share() >= 0.005)
    table.AddRow({"other work", StrCat(PercentCell(c.busy_share()).shown, " of the processors")});
  return StrCat(table.ToString(), "\n", ShowTables(c));
}

std::string ShowRunState(const v1::CalibrationRun& run) {
  std::string text = StateName(run.state());
  const v1::CalibrationProgress& progress = run.progress();
  if (progress.probe_count() > 0) {
    text += StrCat(", ", progress.done_probe_count(), " of ", progress.probe_count(), " programs, ",
                   FormatSeconds(progress.spent_seconds()), " of ",
                   FormatSeconds(progress.budget_seconds()));
  }
  if (progress.resumed_probe_count() > 0)
    text += StrCat(" (", progress.resumed_probe_count(), " measured by a run that was cut off)");
  if (!run.reason().empty()) text += StrCat(": ", run.reason());
  return text;
}

absl::StatusOr<v1::CalibrationRun> FollowRun(CalibrationClient& client, const std::string& name) {
  std::string told;
  absl::Time last_answer = absl::Now();
  while (true) {
    const absl::StatusOr<v1::CalibrationRun> run = client.GetRun(name);
    const bool try_again =
        absl::IsUnavailable(run.status()) && absl::Now() - last_answer < kPatience;
    if (!run.ok() && !try_again) return run.status();
    if (run.ok()) {
      last_answer = absl::Now();
      if (run->has_end_time()) return run;
      if (const std::string text = ShowRunState(*run); text != told) {
        std::fprintf(stderr, "%s %s\n", name.c_str(), text.c_str());
        told = text;
      }
    }
    absl::SleepFor(kPollInterval);
  }
}

}  // namespace tunesmith::client
