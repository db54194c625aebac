#include "client/plan_probe.h"

#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_format.h"
#include "client/local_binary.h"
#include "common/json.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "proto/convert/json.h"

namespace tunesmith::client {
namespace {

// A file that goes away with the object.
class TemporaryFile {
 public:
  TemporaryFile()
      : path_((std::filesystem::temp_directory_path() / "tunesmith-plan-XXXXXX").string()) {
    const int fd = mkstemp(path_.data());
    if (fd >= 0) close(fd);
  }
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

absl::StatusOr<std::string> ProbePlan(const v1::Plan& plan) {
  const TemporaryFile file;
  TUNESMITH_RETURN_IF_ERROR(convert::WriteJsonFile(file.path(), plan));
  const bool cpu = plan.inputs().devices().hardware().name() == "cpu";
  TUNESMITH_ASSIGN_OR_RETURN(
      const std::string output,
      RunBinary("tunesmith-profiler", {"--plan", file.path(), "--device", cpu ? "cpu" : "cuda:0"}));
  TUNESMITH_ASSIGN_OR_RETURN(const nlohmann::json probe, ParseJson(output, "the probe's answer"));
  const double measured = probe.value("step_seconds", 0.0),
               predicted = plan.prediction().time().step_seconds();
  return StrCat("probe: a step of the chosen mix took ", FormatSeconds(measured),
                " on this host, predicted ", FormatSeconds(predicted),
                absl::StrFormat(" (%+.1f %%)\n", 100 * (predicted / measured - 1)));
}

}  // namespace tunesmith::client
