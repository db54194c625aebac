#include "planner/answer/candidates.h"

#include <algorithm>

#include "common/status_macros.h"
#include "common/text.h"

namespace tunesmith::planner {
namespace {

constexpr int64_t kLargestDeviceCount = 1 << 16;

absl::Status CheckDevices(const DeviceGroup& devices, int64_t rows_per_step) {
  const Hardware& h = devices.hardware;
  if (!h.trainer_runs) {
    return absl::UnimplementedError(StrCat("GPU ", h.name, " (sm_", h.compute_capability,
                                           ") is not planned yet: the bundled trainer needs bf16 "
                                           "tensor cores (sm_80 or newer); ask for an A10G, "
                                           "A100, L4, H100 or the like"));
  }
  if (devices.device_count < 1 || devices.device_count > kLargestDeviceCount)
    return absl::InvalidArgumentError(
        StrCat("device_count is ", devices.device_count, ", must be 1 to ", kLargestDeviceCount));
  if (h.memory_bytes_per_second <= 0 || h.memory_bytes <= 0 || h.fp32_dense_flops_per_second <= 0)
    return absl::InvalidArgumentError(
        StrCat("hardware ", h.name,
               " lacks memory_bytes, memory_bytes_per_second or fp32_dense_flops_per_second"));
  if (devices.device_count > 1 && h.link_bytes_per_second <= 0)
    return absl::InvalidArgumentError(StrCat("hardware ", h.name,
                                             " lacks link_bytes_per_second, which ",
                                             devices.device_count, " devices need"));
  if (rows_per_step % devices.device_count != 0) {
    return absl::InvalidArgumentError(
        StrCat("rows per step(", rows_per_step, ") % devices(", devices.device_count,
               ") = ", rows_per_step % devices.device_count,
               ", must be 0: every device takes as many rows; ask for ",
               (rows_per_step / devices.device_count + 1) * devices.device_count, " rows"));
  }
  return absl::OkStatus();
}

std::vector<Method> MethodsOf(MethodChoice choice) {
  if (choice == MethodChoice::kFull) return {Method::kFull};
  if (choice == MethodChoice::kLora) return {Method::kLora};
  return {Method::kFull, Method::kLora};
}

std::vector<int64_t> DivisorsOf(int64_t n) {
  std::vector<int64_t> divisors;
  for (int64_t d = 1; d * d <= n; ++d) {
    if (n % d != 0) continue;
    divisors.push_back(d);
    if (d != n / d) divisors.push_back(n / d);
  }
  std::sort(divisors.begin(), divisors.end());
  return divisors;
}

}  // namespace

absl::Status ValidateQuestion(const Question& question) {
  TUNESMITH_RETURN_IF_ERROR(ValidateModelSpec(question.model));
  TUNESMITH_RETURN_IF_ERROR(ValidateWorkload(question.workload, question.model));
  TUNESMITH_RETURN_IF_ERROR(CheckDevices(question.devices, question.workload.rows_per_step));
  if (question.memory_budget_bytes < 0)
    return absl::InvalidArgumentError(
        StrCat("memory_budget_bytes is ", question.memory_budget_bytes, ", must not be negative"));
  if (question.calibration.id.empty()) return absl::OkStatus();
  return ValidateCalibration(question.calibration);
}

Backend BackendOf(const Hardware& hardware) {
  return {.kind = hardware.compute_capability > 0 ? BackendKind::kCuda : BackendKind::kCpu};
}

Precision PrecisionOf(const Question& question) {
  if (question.precision.has_value()) return *question.precision;
  return question.devices.hardware.bf16_dense_flops_per_second > 0 ? Precision::kBf16
                                                                   : Precision::kFp32;
}

std::vector<Mix> FamiliesOf(const Question& question) {
  std::vector<Mix> families;
  const int64_t rows = question.workload.rows_per_step / question.devices.device_count;
  for (Method method : MethodsOf(question.method)) {
    for (AttentionKernel attention : {AttentionKernel::kEager, AttentionKernel::kFlash}) {
      for (LossKernel loss : {LossKernel::kFull, LossKernel::kChunked}) {
        for (int64_t micro_batch : DivisorsOf(rows)) {
          // One chunk holds everything: the two loss kernels are the same program.
          if (loss == LossKernel::kChunked &&
              micro_batch * question.workload.context <= kLossChunkRowCount)
            continue;
          families.push_back({.method = method,
                              .lora = question.lora,
                              .precision = PrecisionOf(question),
                              .attention = attention,
                              .loss = loss,
                              .micro_batch = micro_batch,
                              .accumulation_count = rows / micro_batch,
                              .data_parallel = question.devices.device_count});
        }
      }
    }
  }
  return families;
}

ProgramInputs InputsFor(const Question& question, const Mix& mix) {
  return {.model = question.model,
          .workload = question.workload,
          .mix = mix,
          .backend = BackendOf(question.devices.hardware)};
}

std::vector<std::string> NotesOn(const Question& question) {
  std::vector<std::string> notes;
  if (question.calibration.id.empty())
    notes.push_back(
        "Times come from datasheets, not from measurements: expect them within a factor, not "
        "within percents.");
  if (question.devices.device_count > 1)
    notes.push_back(
        "Several devices are planned as replicas (data parallel); sharding them is not planned "
        "yet.");
  if (question.workload.dataset_token_count > 0)
    notes.push_back("Hours assume that the packer fills the rows.");
  return notes;
}

}  // namespace tunesmith::planner
