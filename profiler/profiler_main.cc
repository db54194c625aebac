// tunesmith-profiler: measures this machine for the planner. See --help.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include "common/duration.h"
#include "common/file.h"
#include "common/file_lock.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "planner/model/catalog.h"
#include "planner/model/device_names.h"
#include "planner/model/mix_names.h"
#include "profiler/collective_probe.h"
#include "profiler/kept_samples.h"
#include "profiler/probe.h"
#include "profiler/probe_plan.h"
#include "profiler/run_directory.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/json.h"
#include "proto/convert/prediction.h"
#include "proto/convert/run_directory.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/model_io/weight_source.h"
#include "trainer/open_device.h"

namespace tunesmith::profiler {
namespace {

struct Flags {
  std::string model = "SmolLM2-135M";
  std::string device = "cpu";
  std::string hardware;
  std::string precision;
  std::string data_directory = convert::DefaultDataDirectory();
  std::string out;
  std::string run_directory;
  std::string plan;
  std::string budget = "120s";
  int64_t context = 512;
  int64_t thread_count = 0;
  bool allows_noise = false;
};

std::string CalibrationsDirectory(const Flags& flags) {
  return convert::InDirectory(flags.data_directory, convert::kCalibrationsDirectory);
}

// What goes elsewhere than into the data directory is not kept there meanwhile either.
std::string KeptDirectory(const Flags& flags, const ProbeOptions& options) {
  if (!flags.out.empty()) return "";
  return StrCat(convert::InDirectory(flags.data_directory, convert::kCalibrationRunsDirectory),
                "/kept-", options.device_name, "-",
                planner::NameOf(planner::kPrecisionNames, options.precision));
}

absl::StatusOr<planner::ModelSpec> ResolveModel(const std::string& name) {
  if (!std::filesystem::exists(name)) return planner::FindModel(name);
  TUNESMITH_ASSIGN_OR_RETURN(const auto weights, trainer::OpenModel(name));
  return weights->spec();
}

// Two at once would measure each other.
absl::StatusOr<FileLock> LockCalibrations(const std::string& directory) {
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(directory));
  absl::StatusOr<FileLock> lock =
      FileLock::Take(convert::InDirectory(directory, convert::kCalibrationsLockFile));
  if (!absl::IsFailedPrecondition(lock.status())) return lock;
  return absl::FailedPreconditionError(
      StrCat("another calibration is running and writes to ", directory, "; wait for it to end"));
}

std::string OutputPath(const Flags& flags, const std::string& id) {
  if (!flags.out.empty() && !std::filesystem::is_directory(flags.out)) return flags.out;
  return StrCat(flags.out.empty() ? CalibrationsDirectory(flags) : flags.out, "/", id, ".json");
}

// A clock that was set back may give the time, and so the id, of a calibration that is there.
void ChooseFreeId(const Flags& flags, planner::Calibration& calibration) {
  const std::string id = calibration.id;
  for (int i = 2; std::filesystem::exists(OutputPath(flags, calibration.id)) && flags.out.empty();
       ++i)
    calibration.id = StrCat(id, "-", i);
}

void WarnOfClock(const Flags& flags, const planner::Calibration& calibration) {
  if (!flags.out.empty()) return;
  const auto newest = convert::NewestCalibration(flags.data_directory, calibration.device_name,
                                                 calibration.precision);
  if (newest && newest->id != calibration.id)
    std::fprintf(stderr,
                 "tunesmith-profiler: the clock was set back: %s is dated later, so answers go on "
                 "to use it; "
                 "remove it with `tunesmith calibration delete %s`\n",
                 newest->id.c_str(), newest->id.c_str());
}

absl::Status Write(const planner::Calibration& calibration, const Flags& flags) {
  const std::string json = convert::ToJson(convert::ToProto(calibration));
  if (flags.out == "-") {
    std::printf("%s\n", json.c_str());
    return absl::OkStatus();
  }
  const std::string path = OutputPath(flags, calibration.id);
  TUNESMITH_RETURN_IF_ERROR(WriteFileAtomically(path, json + "\n"));
  std::printf("%s\n", path.c_str());
  return absl::OkStatus();
}

absl::StatusOr<ProbeOptions> OptionsOf(const Flags& flags, const trainer::OpContext& context) {
  ProbeOptions options{.context = flags.context, .allows_noise = flags.allows_noise};
  TUNESMITH_ASSIGN_OR_RETURN(options.budget_seconds, ParseDurationSeconds(flags.budget));
  TUNESMITH_ASSIGN_OR_RETURN(options.model, ResolveModel(flags.model));
  if (context.device == planner::BackendKind::kCuda) {
    TUNESMITH_ASSIGN_OR_RETURN(const planner::Hardware hardware,
                               flags.hardware.empty()
                                   ? planner::FindHardwareOfDevice(context.cuda->info().name)
                                   : planner::FindHardware(flags.hardware));
    options.device_name = hardware.name;
    options.precision = planner::UsualPrecision(hardware);
  }
  if (const auto named =
          planner::ValueNamed<planner::Precision>(planner::kPrecisionNames, flags.precision))
    options.precision = *named;
  return options;
}

absl::Status RunPlan(const Flags& flags) {
  TUNESMITH_ASSIGN_OR_RETURN(const convert::Plan plan, convert::ReadPlanFile(flags.plan));
  TUNESMITH_ASSIGN_OR_RETURN(const trainer::OpenDevice device,
                             trainer::OpenDevice::Open(flags.device, flags.thread_count));
  TUNESMITH_ASSIGN_OR_RETURN(const PlanProbe probe, ProbePlan(plan, device.context()));
  std::printf("{\"step_seconds\": %.9g, \"step_count\": %lld, \"arena_bytes\": %lld}\n",
              probe.step_seconds, static_cast<long long>(probe.step_count),
              static_cast<long long>(probe.arena_bytes));
  return absl::OkStatus();
}

absl::StatusOr<planner::Calibration> Calibrate(const Flags& flags, ProbeReport report) {
  TUNESMITH_ASSIGN_OR_RETURN(const trainer::OpenDevice device,
                             trainer::OpenDevice::Open(flags.device, flags.thread_count));
  TUNESMITH_ASSIGN_OR_RETURN(ProbeOptions options, OptionsOf(flags, device.context()));
  options.note = [](const std::string& note) {
    std::fprintf(stderr, "tunesmith-profiler: %s\n", note.c_str());
  };
  options.kept_directory = KeptDirectory(flags, options);
  std::optional<FileLock> lock;
  options.rank_binary = std::filesystem::read_symlink("/proc/self/exe").string();
  options.checkpoint_directory =
      convert::InDirectory(flags.data_directory, convert::kJobsDirectory);
  if (flags.out.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(lock, LockCalibrations(CalibrationsDirectory(flags)));
  }
  TUNESMITH_ASSIGN_OR_RETURN(planner::Calibration calibration,
                             Probe(options, device.context(), report));
  ChooseFreeId(flags, calibration);
  TUNESMITH_RETURN_IF_ERROR(Write(calibration, flags));
  ClearKeptSamples(options.kept_directory);
  WarnOfClock(flags, calibration);
  return calibration;
}

absl::Status Run(const Flags& flags) {
  if (!flags.plan.empty()) return RunPlan(flags);
  TUNESMITH_ASSIGN_OR_RETURN(RunDirectory run, RunDirectory::Claim(flags.run_directory));
  const absl::StatusOr<planner::Calibration> calibration =
      Calibrate(flags, [&run](const v1::CalibrationProgress& progress) {
        std::fprintf(stderr, "%s\n", ShowProgress(progress).c_str());
        run.Tell(progress);
      });
  const absl::Status told = run.TellEnd(calibration);
  return calibration.ok() ? told : calibration.status();
}

}  // namespace
}  // namespace tunesmith::profiler

int main(int argc, char** argv) {
  tunesmith::profiler::Flags flags;
  CLI::App app{
      "Times the trainer's ops on this machine, on shapes of a model, and writes a calibration for "
      "the planner."};
  app.add_option("--model", flags.model,
                 "catalog name, size, directory or .gguf file whose shapes are timed")
      ->capture_default_str();
  app.add_option("--context", flags.context, "tokens per row")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--device", flags.device, "cpu or cuda:N")->capture_default_str();
  app.add_option("--hardware", flags.hardware,
                 "name of the GPU in the hardware catalog (with --device cuda:N), where what the "
                 "driver calls it "
                 "is not known");
  app.add_option("--precision", flags.precision,
                 "fp32 or bf16: what is computed in; by default fp32 on a CPU, bf16 on a GPU")
      ->check(CLI::IsMember(std::vector<std::string>(tunesmith::planner::kPrecisionNames.begin(),
                                                     tunesmith::planner::kPrecisionNames.end())));
  app.add_option("--threads", flags.thread_count, "CPU threads; 0: one per processor")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--budget", flags.budget, "time to spend, as 120s or 5m")->capture_default_str();
  app.add_option("--data-dir", flags.data_directory, "where calibrations are kept")
      ->capture_default_str();
  app.add_option("--run-dir", flags.run_directory,
                 "directory in which to tell how far it is: a server reads it");
  app.add_option("--out", flags.out,
                 "file, or directory for <id>.json, or - for standard output; by default the "
                 "calibrations of the data directory, where answers find it");
  app.add_option("--plan", flags.plan,
                 "plan file: run a step or three of it, and print the seconds, instead");
  app.add_flag("--allow-noise", flags.allows_noise,
               "keep rates of a machine that is too busy to measure well");
  bool is_rank = false;
  app.add_flag(tunesmith::profiler::kRankProbeFlag, is_rank)->group("");  // what mpirun starts
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status =
      is_rank ? tunesmith::profiler::RunRankProbe() : tunesmith::profiler::Run(flags);
  if (!status.ok()) {
    std::fprintf(stderr, "tunesmith-profiler: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
