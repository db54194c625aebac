#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "client/calibration_chart.h"
#include "client/calibration_report.h"
#include "client/calibration_view.h"
#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/listings.h"
#include "client/local_calibrations.h"
#include "client/local_measurements.h"
#include "common/file.h"
#include "common/str_cat.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::client {
namespace {

constexpr int64_t kPageSize = 1000;

struct ReportFlags {
  int64_t limit = 1000;
  bool local = false;
  std::string svg;
  Output output;
};

struct CalibrationFlags {
  std::string name;  // of a calibration, a run or a file
  std::string device;
  bool shows_deleted = false;
  int64_t limit = 50;
  std::string request_id;
  Output output;
};

// "cpu-20260301T101500" or "calibrations/cpu-20260301T101500".
std::string FullName(const std::string& name) {
  return name.starts_with("calibrations/") ? name : StrCat("calibrations/", name);
}

// "7" or "calibrationRuns/7".
std::string FullRunName(const std::string& name) {
  return name.starts_with("calibrationRuns/") ? name : StrCat("calibrationRuns/", name);
}

// The server's that is named, else this host's.
std::unique_ptr<CalibrationLibrary> MakeLibrary(const Globals& globals) {
  if (globals.names_server) return MakeCalibrationClient(globals.Options());
  return MakeLocalCalibrations(convert::DefaultDataDirectory());
}

template <typename Answer>
int ReportOne(const absl::StatusOr<Answer>& answer, const Output& output) {
  if (!answer.ok()) return Fail(answer.status());
  Print(output, *answer, ListingOf(CalibrationRecordListing, answer->calibration()));
  return kExitOk;
}

int RunList(const Globals& globals, const CalibrationFlags& flags) {
  v1::ListCalibrationsRequest request;
  request.set_device_name(flags.device);
  request.set_show_deleted(flags.shows_deleted);
  request.set_page_size(flags.limit);
  const auto answer = MakeLibrary(globals)->List(request);
  if (!answer.ok()) return Fail(answer.status());
  Print(flags.output, *answer, CalibrationRecordListing(answer->calibrations()));
  return kExitOk;
}

// As JSON it is the calibration itself, which `calibration import` and --calibration take.
int RunShow(const Globals& globals, const CalibrationFlags& flags) {
  const auto answer = MakeLibrary(globals)->Get(FullName(flags.name));
  if (!answer.ok()) return Fail(answer.status());
  Print(flags.output, answer->calibration().calibration(),
        ListingOf(CalibrationRecordListing, answer->calibration()),
        ShowCalibrationRecord(answer->calibration()));
  return kExitOk;
}

int RunImport(const Globals& globals, const CalibrationFlags& flags) {
  v1::ImportCalibrationRequest request;
  const absl::Status read = convert::ReadJsonFile(flags.name, request.mutable_calibration());
  if (!read.ok()) return Fail(read);
  request.set_request_id(flags.request_id);
  return ReportOne(MakeLibrary(globals)->Import(request), flags.output);
}

int RunDelete(const Globals& globals, const CalibrationFlags& flags) {
  return ReportOne(MakeLibrary(globals)->Delete(FullName(flags.name)), flags.output);
}

int RunRuns(const Globals& globals, const CalibrationFlags& flags) {
  v1::ListCalibrationRunsRequest request;
  request.set_page_size(flags.limit);
  const auto answer = MakeCalibrationClient(globals.Options())->ListRuns(request);
  if (!answer.ok()) return Fail(answer.status());
  Print(flags.output, *answer, CalibrationRunListing(answer->runs()));
  return kExitOk;
}

int RunCancel(const Globals& globals, const CalibrationFlags& flags) {
  const auto client = MakeCalibrationClient(globals.Options());
  auto run = client->CancelRun(FullRunName(flags.name));
  if (run.ok()) run = FollowRun(*client, run->name());
  if (!run.ok()) return Fail(run.status());
  Print(flags.output, *run, ListingOf(CalibrationRunListing, *run));
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

absl::Status WriteChart(const std::vector<v1::Measurement>& measurements, const std::string& path) {
  const std::string svg = CalibrationChart(measurements);
  if (svg.empty())
    return absl::FailedPreconditionError(
        "no step was measured, so there is nothing to draw: jobs that end well report theirs");
  return WriteFileAtomically(path, svg);
}

int RunReport(const Globals& globals, const ReportFlags& flags) {
  const auto measurements = flags.local
                                ? LocalMeasurements(convert::InDirectory(
                                      convert::DefaultDataDirectory(), convert::kJobsDirectory))
                                : AllMeasurements(globals, flags.limit);
  if (!measurements.ok()) return Fail(measurements.status());
  if (!flags.svg.empty()) {
    const absl::Status drawn = WriteChart(*measurements, flags.svg);
    if (!drawn.ok()) return Fail(drawn);
  }
  const std::vector<CalibrationGroup> groups = GroupMeasurements(*measurements);
  PrintJson(flags.output, CalibrationReportJson(groups), CalibrationListing(groups),
            ShowCalibrationReport(groups));
  return kExitOk;
}

using Run = int (*)(const Globals&, const CalibrationFlags&);

CLI::App* AddVerb(CLI::App& parent, Globals& globals, const char* verb, const char* description,
                  const std::shared_ptr<CalibrationFlags>& flags, Run run) {
  CLI::App* command = parent.add_subcommand(verb, description);
  command->fallthrough();
  AddOutputFlags(*command, flags->output);
  command->callback([&globals, flags, run] {
    globals.run = [&globals, flags, run] { return run(globals, *flags); };
  });
  return command;
}

void AddLimit(CLI::App& command, int64_t& limit) {
  command.add_option("--limit", limit, "Most to list")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
}

void AddLibraryVerbs(CLI::App& parent, Globals& globals) {
  auto flags = std::make_shared<CalibrationFlags>();
  CLI::App* list =
      AddVerb(parent, globals, "list", "Calibrations, the newest first", flags, RunList);
  list->add_option("--device", flags->device, "Only of this device, such as cpu");
  list->add_flag("--deleted", flags->shows_deleted,
                 "Also those that are deleted; servers remember them");
  AddLimit(*list, flags->limit);
  CLI::App* show =
      AddVerb(parent, globals, "show", "A calibration; with -o json the file that import takes",
              flags, RunShow);
  show->add_option("CALIBRATION", flags->name, "As list names it")->required();
  CLI::App* import = AddVerb(parent, globals, "import",
                             "Use a calibration that was measured elsewhere", flags, RunImport);
  import->add_option("FILE", flags->name, "As tunesmith-profiler wrote it")->required();
  import->add_option("--request-id", flags->request_id,
                     "Repeating it with the same id imports once");
  CLI::App* remove =
      AddVerb(parent, globals, "delete",
              "Take a calibration out of use: the one before is used again", flags, RunDelete);
  remove->add_option("CALIBRATION", flags->name, "As list names it")->required();
}

void AddRunVerbs(CLI::App& parent, Globals& globals) {
  auto flags = std::make_shared<CalibrationFlags>();
  CLI::App* runs = AddVerb(parent, globals, "runs",
                           "Runs of calibrate on the server, the newest first", flags, RunRuns);
  AddLimit(*runs, flags->limit);
  CLI::App* cancel =
      AddVerb(parent, globals, "cancel",
              "Stop a run on the server; the next goes on with what it measured", flags, RunCancel);
  cancel->add_option("RUN", flags->name, "calibrationRuns/7 or 7")->required();
}

void AddCalibrationReport(CLI::App& parent, Globals& globals) {
  CLI::App* report =
      parent.add_subcommand("report",
                            "How far predictions were from what jobs took: steps, memory, its "
                            "arena and the rest, by device, method and model");
  report->fallthrough();
  auto flags = std::make_shared<ReportFlags>();
  report->add_option("--limit", flags->limit, "Newest measurements to look at")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  report->add_flag("--local", flags->local,
                   "Of the jobs in this host's data directory, without a server");
  report->add_option("--svg", flags->svg,
                     "Also draw measured against predicted steps into this file");
  AddOutputFlags(*report, flags->output);
  report->callback([&globals, flags] {
    globals.run = [&globals, flags] { return RunReport(globals, *flags); };
  });
}

}  // namespace

void AddCalibration(CLI::App& app, Globals& globals) {
  CLI::App* parent = app.add_subcommand(
      "calibration",
      "What was measured of devices, and how good it is: of this host, or of the server that is "
      "named");
  parent->require_subcommand(1);
  parent->fallthrough();
  AddLibraryVerbs(*parent, globals);
  AddRunVerbs(*parent, globals);
  AddCalibrationReport(*parent, globals);
}

}  // namespace tunesmith::client
