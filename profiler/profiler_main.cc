// tunesmith-profiler: measures this machine for the planner. See --help.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <string>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "planner/model/catalog.h"
#include "profiler/probe.h"
#include "proto/convert/json.h"
#include "proto/convert/prediction.h"
#include "trainer/model_io/weight_source.h"
#include "trainer/open_device.h"

namespace tunesmith::profiler {
namespace {

struct Flags {
  std::string model = "SmolLM2-135M";
  std::string device = "cpu";
  std::string hardware;
  std::string out;
  int64_t context = 512;
  int64_t thread_count = 0;
  double budget_seconds = 10;
};

absl::StatusOr<planner::ModelSpec> ResolveModel(const std::string& name) {
  if (!std::filesystem::exists(name)) return planner::FindModel(name);
  TUNESMITH_ASSIGN_OR_RETURN(const auto weights, trainer::OpenModel(name));
  return weights->spec();
}

absl::Status Run(const Flags& flags) {
  ProbeOptions options{.context = flags.context, .budget_seconds = flags.budget_seconds};
  TUNESMITH_ASSIGN_OR_RETURN(options.model, ResolveModel(flags.model));
  TUNESMITH_ASSIGN_OR_RETURN(const trainer::OpenDevice device,
                             trainer::OpenDevice::Open(flags.device, flags.thread_count));
  if (device.context().device == planner::BackendKind::kCuda) {
    if (flags.hardware.empty())
      return absl::InvalidArgumentError(
          "--hardware is needed with a GPU: its name in `tunesmith gpus`, e.g. H100-SXM");
    options.device_name = flags.hardware;
    options.precision = planner::Precision::kBf16;
  }
  TUNESMITH_ASSIGN_OR_RETURN(const planner::Calibration calibration,
                             Probe(options, device.context(), [](const std::string& line) {
                               std::fprintf(stderr, "%s\n", line.c_str());
                             }));
  const std::string json = convert::ToJson(convert::ToProto(calibration));
  if (flags.out.empty()) {
    std::printf("%s\n", json.c_str());
    return absl::OkStatus();
  }
  const std::string path = std::filesystem::is_directory(flags.out)
                               ? StrCat(flags.out, "/", calibration.id, ".json")
                               : flags.out;
  TUNESMITH_RETURN_IF_ERROR(WriteFileAtomically(path, json + "\n"));
  std::printf("%s\n", path.c_str());
  return absl::OkStatus();
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
                 "name of the GPU in the hardware catalog (with --device cuda:N)");
  app.add_option("--threads", flags.thread_count, "CPU threads; 0: one per processor")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--budget-seconds", flags.budget_seconds, "time to spend")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--out", flags.out, "file, or directory for <id>.json; none: standard output");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (const absl::Status status = tunesmith::profiler::Run(flags); !status.ok()) {
    std::fprintf(stderr, "tunesmith-profiler: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
