#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/listings.h"
#include "client/positive.h"
#include "client/question_flags.h"
#include "proto/convert/json.h"

namespace tunesmith::client {
namespace {

struct ReportFlags {
  std::string job;
  std::string plan;
  std::string peak_device;
  std::string peak_host;
  double step_seconds = 0;
  double total_seconds = 0;
  std::string source;
  std::string request_id;
  int64_t limit = 50;
  Output output;
};

int RunList(const Globals& globals, const ReportFlags& flags) {
  v1::ListMeasurementsRequest request;
  if (!flags.job.empty()) request.set_job(FullJobName(flags.job));
  request.set_page_size(flags.limit);
  const auto answer = MakeMeasurementClient(globals.Options())->List(request);
  if (!answer.ok()) return Fail(answer.status());
  Print(flags.output, *answer, MeasurementListing(answer->measurements()));
  return kExitOk;
}

absl::StatusOr<v1::ReportMeasurementRequest> RequestOf(const ReportFlags& flags) {
  v1::ReportMeasurementRequest request;
  if (!flags.job.empty()) request.set_job(FullJobName(flags.job));
  if (!flags.plan.empty()) {
    const absl::Status read = convert::ReadJsonFile(flags.plan, request.mutable_plan());
    if (!read.ok()) return read;
  }
  v1::MeasuredFigures& measured = *request.mutable_measured();
  for (const auto& [text, set] :
       {std::pair(flags.peak_device, &v1::MeasuredFigures::set_peak_device_bytes),
        std::pair(flags.peak_host, &v1::MeasuredFigures::set_peak_host_bytes)}) {
    if (text.empty()) continue;
    const absl::StatusOr<int64_t> bytes = ParseBytes(text);
    if (!bytes.ok()) return bytes.status();
    (measured.*set)(*bytes);
  }
  measured.set_step_seconds(flags.step_seconds);
  measured.set_total_seconds(flags.total_seconds);
  request.set_source(flags.source);
  request.set_request_id(flags.request_id);
  return request;
}

int RunReport(const Globals& globals, const ReportFlags& flags) {
  const absl::StatusOr<v1::ReportMeasurementRequest> request = RequestOf(flags);
  if (!request.ok()) return Fail(request.status());
  const auto answer = MakeMeasurementClient(globals.Options())->Report(*request);
  if (!answer.ok()) return Fail(answer.status());
  Print(flags.output, *answer, ListingOf(MeasurementListing, answer->measurement()));
  return kExitOk;
}

void AddMeasurementReport(CLI::App& parent, Globals& globals) {
  CLI::App* command = parent.add_subcommand(
      "report", "Store what a job, or a plan that ran elsewhere, really took");
  command->fallthrough();
  auto flags = std::make_shared<ReportFlags>();
  CLI::Option* job = command->add_option("--job", flags->job, "jobs/job-7, job-7 or 7");
  command->add_option("--plan", flags->plan, "Plan file, instead of a job")->excludes(job);
  command->add_option("--step-seconds", flags->step_seconds, "Median seconds of an optimizer step")
      ->check(Positive());
  command->add_option("--total-seconds", flags->total_seconds, "Seconds of the whole job")
      ->check(Positive());
  command->add_option("--peak-device-memory", flags->peak_device, "Of one device, as 71.5GiB");
  command->add_option("--peak-host-memory", flags->peak_host, "Of the host, as 12GiB");
  command->add_option("--source", flags->source, "Who measured, as \"slurm epilog\"");
  command->add_option("--request-id", flags->request_id,
                      "Repeating it with the same id stores once");
  AddOutputFlags(*command, flags->output);
  command->callback([&globals, flags] {
    globals.run = [&globals, flags] { return RunReport(globals, *flags); };
  });
}

}  // namespace

void AddMeasurements(CLI::App& app, Globals& globals) {
  CLI::App* parent = app.add_subcommand(
      "measurements", "List what jobs really took beside what was predicted, or report it");
  auto flags = std::make_shared<ReportFlags>();
  parent->add_option("--of", flags->job, "Only of this job");
  parent->add_option("--limit", flags->limit, "Most measurements to list")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  AddOutputFlags(*parent, flags->output);
  AddMeasurementReport(*parent, globals);
  parent->callback([&globals, flags, parent] {
    if (!parent->get_subcommands().empty()) return;
    globals.run = [&globals, flags] { return RunList(globals, *flags); };
  });
}

}  // namespace tunesmith::client
