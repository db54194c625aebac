// A stand-in for tunesmith-profiler that keeps its contract without measuring: claims --run-dir, tells there how far it is, and puts a calibration into --data-dir.
//   FAKE_PROBE_MILLISECONDS  time per program, default 5; there are four
//   FAKE_ERROR               ends with this error after the second program
//   FAKE_DIES_AT_ONCE        ends before it claims its run
// A file `starts` beside the run directories has a line per profiler that claimed one, `overlap` is there if two ever measured at once.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "absl/time/clock.h"
#include "common/file.h"
#include "common/host_fingerprint.h"
#include "common/str_cat.h"
#include "profiler/run_directory.h"
#include "proto/convert/json.h"
#include "proto/convert/prediction.h"

namespace {

using tunesmith::StrCat;

constexpr int kProbeCount = 4;

int64_t FromEnvironment(const char* name, int64_t fallback) {
  const char* text = std::getenv(name);
  return text ? std::atoll(text) : fallback;
}

tunesmith::planner::Calibration Measured() {
  tunesmith::planner::Calibration calibration;
  const absl::Time now = absl::Now();
  calibration.device_name = "cpu";
  calibration.id = StrCat("cpu-", absl::ToUnixMicros(now));
  calibration.fingerprint = tunesmith::HostFingerprint();
  calibration.measured_at = absl::FormatTime(absl::RFC3339_full, now, absl::UTCTimeZone());
  calibration.rates = {{.op_kind = "rms_norm", .bytes = 4096, .bytes_per_second = 1e9}};
  calibration.relative_error = 0.1;
  return calibration;
}

// Two that measure at once would measure each other.
class Overlap {
 public:
  explicit Overlap(const std::string& runs) : runs_(runs) {
    lock_ = tunesmith::FileLock::Take(runs + "/measuring");
    if (!lock_.ok()) (void)tunesmith::AppendLine(runs + "/overlap", "x");
  }

 private:
  const std::string runs_;
  absl::StatusOr<tunesmith::FileLock> lock_ = absl::UnknownError("");
};

absl::StatusOr<tunesmith::planner::Calibration> Measure(const std::string& data_directory,
                                                        tunesmith::profiler::RunDirectory& run) {
  tunesmith::v1::CalibrationProgress progress;
  progress.set_probe_count(kProbeCount);
  for (int done = 0; done < kProbeCount; ++done) {
    absl::SleepFor(absl::Milliseconds(FromEnvironment("FAKE_PROBE_MILLISECONDS", 5)));
    progress.set_done_probe_count(done + 1);
    run.Tell(progress);
    const char* error = std::getenv("FAKE_ERROR");
    if (error != nullptr && done == 1) return absl::FailedPreconditionError(error);
  }
  const tunesmith::planner::Calibration calibration = Measured();
  const std::string directory = data_directory + "/calibrations";
  std::filesystem::create_directories(directory);
  const absl::Status status = tunesmith::convert::WriteJsonFile(
      StrCat(directory, "/", calibration.id, ".json"), tunesmith::convert::ToProto(calibration));
  if (!status.ok()) return status;
  return calibration;
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  std::string all;
  for (int i = 1; i < argc; ++i) {
    if (i + 1 < argc) flags[argv[i]] = argv[i + 1];
    all += StrCat(i > 1 ? " " : "", argv[i]);
  }
  if (std::getenv("FAKE_DIES_AT_ONCE") != nullptr) return 3;
  auto run = tunesmith::profiler::RunDirectory::Claim(flags["--run-dir"]);
  if (!run.ok()) return 1;
  const std::string runs = std::filesystem::path(flags["--run-dir"]).parent_path().string();
  (void)tunesmith::AppendLine(runs + "/starts", all);
  const Overlap overlap(runs);
  const auto calibration = Measure(flags["--data-dir"], *run);
  return run->TellEnd(calibration).ok() && calibration.ok() ? 0 : 1;
}
