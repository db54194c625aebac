#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "client/calibration_view.h"
#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/local_binary.h"
#include "client/positive.h"
#include "common/duration.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "planner/model/mix_names.h"
#include "proto/convert/mix.h"

namespace tunesmith::client {
namespace {

struct CalibrateFlags {
  std::string device = "cpu";
  std::string hardware;
  std::string precision;
  std::string model = "SmolLM2-135M";
  int64_t context = 512;
  std::string budget = "120s";
  int64_t thread_count = 0;
  bool allows_noise = false;
  std::string out;
  bool refuses_when_busy = false;
  bool detaches = false;
  std::string request_id;
};

// On this host, as the profiler itself.
int RunHere(const CalibrateFlags& flags) {
  std::vector<std::string> arguments = {"--device",  flags.device,
                                        "--model",   flags.model,
                                        "--context", StrCat(flags.context),
                                        "--budget",  flags.budget,
                                        "--threads", StrCat(flags.thread_count)};
  if (!flags.hardware.empty()) arguments.insert(arguments.end(), {"--hardware", flags.hardware});
  if (!flags.precision.empty()) arguments.insert(arguments.end(), {"--precision", flags.precision});
  if (!flags.out.empty()) arguments.insert(arguments.end(), {"--out", flags.out});
  if (flags.allows_noise) arguments.push_back("--allow-noise");
  return BecomeBinary("tunesmith-profiler", arguments);
}

absl::StatusOr<v1::StartCalibrationRequest> RequestOf(const CalibrateFlags& flags) {
  if (!flags.out.empty())
    return absl::InvalidArgumentError(
        "--out names a file of this host, and a server keeps what it measured; leave one out");
  v1::StartCalibrationRequest request;
  v1::CalibrationSpec& spec = *request.mutable_spec();
  TUNESMITH_ASSIGN_OR_RETURN(const double budget_seconds, ParseDurationSeconds(flags.budget));
  *spec.mutable_budget() =
      google::protobuf::util::TimeUtil::MillisecondsToDuration(std::llround(1000 * budget_seconds));
  spec.set_device(flags.device);
  spec.set_hardware_name(flags.hardware);
  spec.set_model_name(flags.model);
  spec.set_context(flags.context);
  spec.set_thread_count(flags.thread_count);
  spec.set_allow_noise(flags.allows_noise);
  spec.set_precision(convert::ToProto(
      planner::ValueNamed<planner::Precision>(planner::kPrecisionNames, flags.precision)));
  request.set_refuse_if_busy(flags.refuses_when_busy);
  request.set_request_id(flags.request_id);
  return request;
}

int RunOnServer(const Globals& globals, const CalibrateFlags& flags) {
  const auto request = RequestOf(flags);
  if (!request.ok()) return Fail(request.status());
  const auto client = MakeCalibrationClient(globals.Options());
  const auto started = client->Start(*request);
  if (!started.ok()) return Fail(started.status());
  const std::string& name = started->run().name();
  if (flags.detaches) {
    std::printf("%s\n", name.c_str());
    return kExitOk;
  }
  std::fprintf(stderr,
               "%s goes on when you interrupt; to stop it: tunesmith calibration cancel %s\n",
               name.c_str(), name.c_str());
  const auto run = FollowRun(*client, name);
  if (!run.ok()) return Fail(run.status());
  if (run->state() == v1::CALIBRATION_RUN_STATE_SUCCEEDED) {
    std::printf("%s\n", run->calibration().c_str());
    return kExitOk;
  }
  std::fprintf(stderr, "tunesmith: %s %s\n", name.c_str(), ShowRunState(*run).c_str());
  return kExitJobFailed;
}

void AddServerFlags(CLI::App& command, CalibrateFlags& flags) {
  command.add_flag("--refuse-when-busy", flags.refuses_when_busy,
                   "On a server: give up where jobs run, instead of waiting for their end");
  command.add_flag("--detach", flags.detaches,
                   "On a server: print the run's name, and do not wait for its end");
  command.add_option("--request-id", flags.request_id,
                     "On a server: repeating it with the same id gives the same run");
}

}  // namespace

void AddCalibrate(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand(
      "calibrate",
      "Time the trainer's ops, so that prices rest on measurements: of this host, or of the host "
      "of the server that is named");
  auto flags = std::make_shared<CalibrateFlags>();
  command->add_option("--device", flags->device, "cpu or cuda:N")->capture_default_str();
  command->add_option("--hardware", flags->hardware,
                      "The GPU's name (tunesmith gpus), with --device cuda:N");
  command
      ->add_option(
          "--precision", flags->precision,
          "What is computed in: rates serve questions of the same; by default fp32 on a CPU, "
          "bf16 on a GPU")
      ->check(CLI::IsMember(std::vector<std::string>(planner::kPrecisionNames.begin(),
                                                     planner::kPrecisionNames.end())));
  command
      ->add_option("--model", flags->model,
                   "Name, size, directory or .gguf file whose shapes are timed most")
      ->capture_default_str();
  command->add_option("--context", flags->context, "Tokens per row")
      ->check(Positive())
      ->capture_default_str();
  command->add_option("--budget", flags->budget, "Time to spend, as 120s or 5m")
      ->capture_default_str();
  command->add_option("--threads", flags->thread_count, "CPU threads; 0: one per processor")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--allow-noise", flags->allows_noise,
                    "Keep rates of a machine that is too busy to measure well");
  command->add_option("--out", flags->out,
                      "On this host: file, directory for <id>.json, or - for standard output; by "
                      "default where answers find it");
  AddServerFlags(*command, *flags);
  command->callback([&globals, flags] {
    globals.run = [&globals, flags] {
      return globals.names_server ? RunOnServer(globals, *flags) : RunHere(*flags);
    };
  });
}

}  // namespace tunesmith::client
