#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include "absl/strings/str_format.h"
#include "client/calibration_report.h"
#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/table.h"
#include "common/str_cat.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/json.h"
#include "proto/convert/prediction.h"
#include "tunesmith/v1/calibration.pb.h"

namespace tunesmith::client {
namespace {

using convert::StoredCalibration;

constexpr int64_t kPageSize = 1000;

struct ReportFlags {
  int64_t limit = 1000;
  Output output;
};

int RunList() {
  const std::string directory = convert::DefaultDataDirectory();
  std::vector<StoredCalibration> stored = convert::StoredCalibrations(directory);
  std::sort(stored.begin(), stored.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  std::map<std::string, std::string> in_use;  // ids by device
  Table table({"calibration", "device", "measured at", "interval", "points", "use", "host"},
              {3, 4});
  for (const StoredCalibration& file : stored) {
    if (!file.calibration.ok()) {
      std::fprintf(stderr, "%s\n", std::string(file.calibration.status().message()).c_str());
      continue;
    }
    const planner::Calibration& c = *file.calibration;
    if (!in_use.contains(c.device_name)) {
      const auto newest = convert::NewestCalibration(directory, c.device_name);
      in_use[c.device_name] = newest ? newest->id : "";
    }
    const char* use = !convert::BelongsHere(c)        ? "of another host, or of another version"
                      : in_use[c.device_name] == c.id ? "in use"
                                                      : "older";
    table.AddRow({c.id, c.device_name, c.measured_at,
                  absl::StrFormat("%.0f %%", 100 * c.relative_error),
                  StrCat(c.gemm.size() + c.attention.size() + c.rates.size()), use, c.fingerprint});
  }
  std::fputs(table.ToString().c_str(), stdout);
  return kExitOk;
}

absl::StatusOr<std::vector<v1::Measurement>> AllMeasurements(const Globals& globals,
                                                             int64_t limit) {
  const auto client = MakeMeasurementClient(globals.Options());
  std::vector<v1::Measurement> all;
  v1::ListMeasurementsRequest request;
  do {
    request.set_page_size(std::min(kPageSize, limit - static_cast<int64_t>(all.size())));
    const auto page = client->List(request);
    if (!page.ok()) return page.status();
    all.insert(all.end(), page->measurements().begin(), page->measurements().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() && static_cast<int64_t>(all.size()) < limit);
  return all;
}

int RunReport(const Globals& globals, const ReportFlags& flags) {
  const auto measurements = AllMeasurements(globals, flags.limit);
  if (!measurements.ok()) return Fail(measurements.status());
  const std::vector<CalibrationGroup> groups = GroupMeasurements(*measurements);
  PrintJson(flags.output, CalibrationReportJson(groups), CalibrationListing(groups),
            ShowCalibrationReport(groups));
  return kExitOk;
}

}  // namespace

void AddCalibration(CLI::App& app, Globals& globals) {
  CLI::App* parent =
      app.add_subcommand("calibration", "What was measured on this host, and how good it is");
  parent->require_subcommand(1);
  CLI::App* list = parent->add_subcommand("list", "Calibrations of this host's data directory");
  list->callback([&globals] { globals.run = RunList; });
  CLI::App* report = parent->add_subcommand(
      "report", "How far predictions were from what jobs took, by device, method and model");
  report->fallthrough();
  auto flags = std::make_shared<ReportFlags>();
  report->add_option("--limit", flags->limit, "Newest measurements to look at")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  AddOutputFlags(*report, flags->output);
  report->callback([&globals, flags] {
    globals.run = [&globals, flags] { return RunReport(globals, *flags); };
  });
}

}  // namespace tunesmith::client
