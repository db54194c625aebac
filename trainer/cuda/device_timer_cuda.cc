#include "trainer/cuda/device_timer_cuda.h"

#include <utility>

#include "common/status_macros.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/resources.h"
#include "trainer/cuda/status.h"

namespace tunesmith::trainer {
namespace {

class CudaTimer final : public DeviceTimer {
 public:
  CudaTimer(cudaStream_t stream, Event start, Event stop)
      : stream_(stream), start_(std::move(start)), stop_(std::move(stop)) {}

  absl::Status Start() override {
    CUDA_RETURN_IF_ERROR(cudaEventRecord(start_.get(), stream_));
    return absl::OkStatus();
  }
  absl::Status Stop() override {
    CUDA_RETURN_IF_ERROR(cudaEventRecord(stop_.get(), stream_));
    return absl::OkStatus();
  }
  absl::StatusOr<double> Seconds() override {
    float milliseconds = 0;
    CUDA_RETURN_IF_ERROR(cudaEventSynchronize(stop_.get()));
    CUDA_RETURN_IF_ERROR(cudaEventElapsedTime(&milliseconds, start_.get(), stop_.get()));
    return double{milliseconds} * 1e-3;
  }

 private:
  const cudaStream_t stream_;
  Event start_, stop_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceTimer>> CreateCudaTimer(CudaContext& context,
                                                             planner::Stream stream) {
  TUNESMITH_ASSIGN_OR_RETURN(Event start, Event::Create());
  TUNESMITH_ASSIGN_OR_RETURN(Event stop, Event::Create());
  return std::make_unique<CudaTimer>(context.impl().StreamOf(stream), std::move(start),
                                     std::move(stop));
}

}  // namespace tunesmith::trainer
