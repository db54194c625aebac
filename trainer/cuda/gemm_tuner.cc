#include "trainer/cuda/gemm_tuner.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "common/median.h"
#include "common/status_macros.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/device_timer_cuda.h"
#include "trainer/cuda/status.h"

namespace tunesmith::trainer {
namespace {

// After one that loads kernels and takes out what is far from the quickest.
constexpr int kRoundCount = 3;
constexpr double kFarFromQuickest = 1.5;
// The heuristic's order decides between algorithms that are as quick as this.
constexpr double kAsQuick = 1.01;

static_assert(sizeof(GemmAlgorithm) == sizeof(cublasLtMatmulAlgo_t));

GemmAlgorithm WordsOf(const cublasLtMatmulAlgo_t& algorithm) {
  GemmAlgorithm words;
  std::memcpy(words.data(), &algorithm, sizeof words);
  return words;
}

struct Measured {
  const cublasLtMatmulAlgo_t* candidate;
  double first_seconds;
  std::vector<double> seconds = {};
};

}  // namespace

absl::StatusOr<std::unique_ptr<GemmTuner>> GemmTuner::Create(CudaContext& cuda, std::string path) {
  TUNESMITH_ASSIGN_OR_RETURN(auto timer, CreateCudaTimer(cuda, planner::Stream::kCompute));
  return std::unique_ptr<GemmTuner>(new GemmTuner(cuda, std::move(path), std::move(timer)));
}

// Infinity: the algorithm does not take the product.
absl::StatusOr<double> GemmTuner::Measure(const cublasLtMatmulAlgo_t& candidate, Run run) {
  // Larger than the L2 cache of most devices: what the last run left there goes.
  const DeviceBuffer& scratch = cuda_.impl().scratch;
  CUDA_RETURN_IF_ERROR(cudaMemsetAsync(scratch.data(), 0, static_cast<size_t>(scratch.size_bytes()),
                                       cuda_.impl().stream.get()));
  TUNESMITH_RETURN_IF_ERROR(timer_->Start());
  if (!run(candidate).ok()) return std::numeric_limits<double>::infinity();
  TUNESMITH_RETURN_IF_ERROR(timer_->Stop());
  return timer_->Seconds();
}

absl::StatusOr<cublasLtMatmulAlgo_t> GemmTuner::Choose(
    const GemmKey& key, absl::Span<const cublasLtMatmulAlgo_t> candidates, Run run) {
  if (const GemmAlgorithm* known = choices_.Find(key)) {
    // An algorithm that the library no longer offers is measured anew.
    for (const cublasLtMatmulAlgo_t& candidate : candidates) {
      if (WordsOf(candidate) == *known) return candidate;
    }
  }
  std::vector<Measured> measured;
  double quickest = std::numeric_limits<double>::infinity();
  for (const cublasLtMatmulAlgo_t& candidate : candidates) {
    TUNESMITH_ASSIGN_OR_RETURN(const double seconds, Measure(candidate, run));
    measured.push_back({&candidate, seconds});
    quickest = std::min(quickest, seconds);
  }
  if (quickest == std::numeric_limits<double>::infinity()) return candidates[0];
  std::erase_if(measured, [quickest](const Measured& m) {
    return m.first_seconds > kFarFromQuickest * quickest;
  });
  for (int round = 0; round < kRoundCount; ++round) {
    for (Measured& m : measured) {
      TUNESMITH_ASSIGN_OR_RETURN(const double seconds, Measure(*m.candidate, run));
      m.seconds.push_back(seconds);
    }
  }
  quickest = std::numeric_limits<double>::infinity();
  for (const Measured& m : measured) quickest = std::min(quickest, Median(m.seconds));
  const auto chosen = std::find_if(measured.begin(), measured.end(), [quickest](const Measured& m) {
    return Median(m.seconds) <= kAsQuick * quickest;
  });
  choices_.Add(key, WordsOf(*chosen->candidate));
  return *chosen->candidate;
}

}  // namespace tunesmith::trainer
