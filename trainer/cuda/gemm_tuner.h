#pragma once

#include <cublasLt.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/cuda/gemm_choices.h"
#include "trainer/device_timer.h"

namespace tunesmith::trainer {

// Chooses between algorithms of a product by running them on a device whose caches are cold, as a step finds them. Choices are remembered (gemm_choices.h), so that
// the same host computes the same job with the same algorithms again. Not thread safe.
class GemmTuner {
 public:
  // Borrows `cuda`. Errors of the timer's events.
  static absl::StatusOr<std::unique_ptr<GemmTuner>> Create(CudaContext& cuda, std::string path);

  // `run` puts the product on the compute stream by one of the candidates, the likeliest first. Those whose run fails are passed over; where all do, the first is
  // chosen. Beside the loading of kernels this takes about a tenth of a second at most, or as long as the first four take. Errors are of the device.
  absl::StatusOr<cublasLtMatmulAlgo_t> Choose(
      const GemmKey& key, absl::Span<const cublasLtMatmulAlgo_t> candidates,
      absl::FunctionRef<absl::Status(const cublasLtMatmulAlgo_t&)> run);

  absl::Status Save() { return choices_.Save(); }

  struct Measured {
    const cublasLtMatmulAlgo_t* candidate;
    std::vector<double> seconds;
  };

 private:
  GemmTuner(CudaContext& cuda, std::string path, std::unique_ptr<DeviceTimer> timer)
      : cuda_(cuda), choices_(std::move(path)), timer_(std::move(timer)) {}

  using Run = absl::FunctionRef<absl::Status(const cublasLtMatmulAlgo_t&)>;
  absl::StatusOr<double> Measure(const cublasLtMatmulAlgo_t& candidate, Run run);
  // In the order of `candidates`: those that run and are not far from the quickest.
  absl::StatusOr<std::vector<Measured>> MeasureAll(
      absl::Span<const cublasLtMatmulAlgo_t> candidates, Run run);

  CudaContext& cuda_;
  GemmChoices choices_;
  std::unique_ptr<DeviceTimer> timer_;
};

}  // namespace tunesmith::trainer
