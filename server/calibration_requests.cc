#include "server/calibration_requests.h"

#include <filesystem>
#include <string>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "planner/model/catalog.h"
#include "proto/convert/calibration_import.h"
#include "proto/convert/mix.h"
#include "proto/convert/violations.h"
#include "server/error_info.h"
#include "server/job_requests.h"

namespace tunesmith::server {
namespace {

using convert::Violations;
using google::protobuf::util::TimeUtil;

constexpr char kCpu[] = "cpu";
constexpr char kDefaultModel[] = "SmolLM2-135M";
constexpr int64_t kDefaultContext = 512;
constexpr int64_t kDefaultBudgetSeconds = 120;
constexpr int64_t kLeastBudgetMilliseconds = 1000;
constexpr int64_t kMostBudgetMilliseconds = 3600 * 1000;

v1::CalibrationSpec WithDefaults(v1::CalibrationSpec spec) {
  if (spec.device().empty()) spec.set_device(kCpu);
  if (spec.model_name().empty()) spec.set_model_name(kDefaultModel);
  if (spec.context() == 0) spec.set_context(kDefaultContext);
  if (spec.precision() == v1::PRECISION_UNSPECIFIED)
    spec.set_precision(spec.device() == kCpu ? v1::PRECISION_FP32 : v1::PRECISION_BF16);
  if (!spec.has_budget()) spec.mutable_budget()->set_seconds(kDefaultBudgetSeconds);
  return spec;
}

bool IsGpu(const std::string& device) {
  constexpr std::string_view kPrefix = "cuda:";
  if (!device.starts_with(kPrefix) || device.size() == kPrefix.size()) return false;
  for (const char c : device.substr(kPrefix.size()))
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
  return true;
}

void CheckDevice(const v1::CalibrationSpec& spec, Violations& violations) {
  const bool gpu = IsGpu(spec.device());
  if (!gpu && spec.device() != kCpu)
    violations.Add("spec.device",
                   StrCat("is \"", spec.device(), "\", must be \"cpu\" or \"cuda:N\""));
  if (gpu && spec.hardware_name().empty())
    violations.Add("spec.hardware_name", "is empty; give the GPU's name in ListGpus");
  if (!gpu && !spec.hardware_name().empty())
    violations.Add("spec.hardware_name", "belongs to a GPU; leave it out for \"cpu\"");
}

void CheckNumbers(const v1::CalibrationSpec& spec, Violations& violations) {
  violations.AtLeast("spec.context", spec.context(), 1);
  violations.AtLeast("spec.thread_count", spec.thread_count(), 0);
  (void)convert::PrecisionChoiceFromProto(spec.precision(), "spec.precision", violations);
  const int64_t budget = TimeUtil::DurationToMilliseconds(spec.budget());
  if (budget < kLeastBudgetMilliseconds || budget > kMostBudgetMilliseconds)
    violations.Add("spec.budget", StrCat("is ", budget, " ms, must be 1 s to 1 h"));
}

absl::Status CheckModel(const std::string& name) {
  if (name.starts_with('/')) {
    std::error_code error;
    if (std::filesystem::exists(name, error)) return absl::OkStatus();
    return WithReason(absl::NotFoundError(StrCat("there is no ", name, " on the server's host")),
                      "MODEL_NOT_FOUND", {{"model", name}});
  }
  return WithReason(planner::FindModel(name).status(), "MODEL_NOT_FOUND", {{"model", name}});
}

}  // namespace

absl::StatusOr<v1::CalibrationSpec> CheckStart(const v1::StartCalibrationRequest& request,
                                               const Catalog& catalog, const PathRoots& roots) {
  v1::CalibrationSpec spec = WithDefaults(request.spec());
  Violations violations;
  CheckRequestId("request_id", request.request_id(), violations);
  CheckDevice(spec, violations);
  CheckNumbers(spec, violations);
  if (spec.model_name().starts_with('/')) {
    const absl::StatusOr<std::string> model = ConfineModel(roots, spec.model_name());
    violations.AddStatus("spec.model_name", model.status());
    if (model.ok()) spec.set_model_name(*model);
  }
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  TUNESMITH_RETURN_IF_ERROR(CheckModel(spec.model_name()));
  if (!spec.hardware_name().empty())
    TUNESMITH_RETURN_IF_ERROR(catalog.GetGpu(spec.hardware_name()).status());
  return spec;
}

absl::StatusOr<planner::Calibration> CheckImport(const v1::ImportCalibrationRequest& request,
                                                 const Catalog& catalog) {
  Violations violations;
  CheckRequestId("request_id", request.request_id(), violations);
  const absl::StatusOr<planner::Calibration> calibration =
      convert::CheckImport(request.calibration(), "calibration");
  if (absl::IsInvalidArgument(calibration.status())) violations.AddStatus("", calibration.status());
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  TUNESMITH_RETURN_IF_ERROR(catalog.GetGpu(request.calibration().device_name()).status());
  if (calibration.ok()) return calibration;
  return WithReason(calibration.status(), "CALIBRATION_OF_ANOTHER_HOST",
                    {{"calibration", request.calibration().id()}});
}

}  // namespace tunesmith::server
