#include "trainer/device_timer.h"

#include <chrono>

#include "trainer/cuda/device_timer_cuda.h"

namespace tunesmith::trainer {
namespace {

class CpuTimer final : public DeviceTimer {
 public:
  absl::Status Start() override {
    start_ = Clock::now();
    return absl::OkStatus();
  }
  absl::Status Stop() override {
    stop_ = Clock::now();
    return absl::OkStatus();
  }
  absl::StatusOr<double> Seconds() override {
    return std::chrono::duration<double>(stop_ - start_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_, stop_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceTimer>> DeviceTimer::Create(const OpContext& context,
                                                                 planner::Stream stream) {
  switch (context.device) {
    case planner::BackendKind::kCpu:
      return std::make_unique<CpuTimer>();
    case planner::BackendKind::kCuda:
      return CreateCudaTimer(*context.cuda, stream);
  }
  return absl::InternalError("unknown device kind");
}

}  // namespace tunesmith::trainer
