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

// After the first, of those that are not far from the quickest then.
constexpr int kMoreRounds = 2;
constexpr double kFarFromQuickest = 1.5;
// The heuristic's order decides between algorithms that are as quick as this: events are no finer than half a microsecond (cudaEventElapsedTime's documentation).
constexpr double kAsQuick = 1.01;
constexpr double kAsQuickSeconds = 1e-6;
// Of the device's time for one product: beyond it no more is measured than the likeliest, once. Long products need no more: they differ less from run to run.
constexpr double kPatienceSeconds = 0.1;
constexpr size_t kLeastCount = 4;

static_assert(sizeof(GemmAlgorithm) == sizeof(cublasLtMatmulAlgo_t));

GemmAlgorithm WordsOf(const cublasLtMatmulAlgo_t& algorithm) {
  GemmAlgorithm words;
  std::memcpy(words.data(), &algorithm, sizeof words);
  return words;
}

double Quickest(const std::vector<GemmTuner::Measured>& measured) {
  double quickest = std::numeric_limits<double>::infinity();
  for (const auto& m : measured) quickest = std::min(quickest, Median(m.seconds));
  return quickest;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GemmTuner>> GemmTuner::Create(CudaContext& cuda, std::string path) {
  TUNESMITH_ASSIGN_OR_RETURN(auto timer, CreateCudaTimer(cuda, planner::Stream::kCompute));
  return std::unique_ptr<GemmTuner>(new GemmTuner(cuda, std::move(path), std::move(timer)));
}

absl::StatusOr<double> GemmTuner::Measure(const cublasLtMatmulAlgo_t& candidate, Run run) {
  // Larger than the L2 cache of most devices: what the last run left there goes.
  const DeviceBuffer& scratch = cuda_.impl().scratch;
  CUDA_RETURN_IF_ERROR(cudaMemsetAsync(scratch.data(), 0, static_cast<size_t>(scratch.size_bytes()),
                                       cuda_.impl().stream.get()));
  TUNESMITH_RETURN_IF_ERROR(timer_->Start());
  TUNESMITH_RETURN_IF_ERROR(run(candidate));
  TUNESMITH_RETURN_IF_ERROR(timer_->Stop());
  return timer_->Seconds();
}

absl::StatusOr<std::vector<GemmTuner::Measured>> GemmTuner::MeasureAll(
    absl::Span<const cublasLtMatmulAlgo_t> candidates, Run run) {
  std::vector<Measured> measured;
  double spent_seconds = 0;
  for (const cublasLtMatmulAlgo_t& candidate : candidates) {
    if (measured.size() >= kLeastCount && spent_seconds > kPatienceSeconds) break;
    // The first run loads the kernel, which may take longer than the product, and shows whether the algorithm takes it.
    if (!run(candidate).ok()) continue;
    TUNESMITH_ASSIGN_OR_RETURN(const double seconds, Measure(candidate, run));
    measured.push_back({&candidate, {seconds}});
    spent_seconds += 2 * seconds;
  }
  const double far = kFarFromQuickest * Quickest(measured);
  std::erase_if(measured, [far](const Measured& m) { return m.seconds[0] > far; });
  for (int round = 0; round < kMoreRounds && spent_seconds <= kPatienceSeconds; ++round) {
    for (Measured& m : measured) {
      TUNESMITH_ASSIGN_OR_RETURN(m.seconds.emplace_back(), Measure(*m.candidate, run));
      spent_seconds += m.seconds.back();
    }
  }
  return measured;
}

absl::StatusOr<cublasLtMatmulAlgo_t> GemmTuner::Choose(
    const GemmKey& key, absl::Span<const cublasLtMatmulAlgo_t> candidates, Run run) {
  if (const GemmAlgorithm* known = choices_.Find(key)) {
    // An algorithm that the library no longer offers is measured anew.
    for (const cublasLtMatmulAlgo_t& candidate : candidates) {
      if (WordsOf(candidate) == *known) return candidate;
    }
  }
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<Measured> measured, MeasureAll(candidates, run));
  if (measured.empty()) return candidates[0];
  const double quickest = Quickest(measured);
  const double quick = std::max(kAsQuick * quickest, quickest + kAsQuickSeconds);
  const auto chosen = std::find_if(measured.begin(), measured.end(), [quick](const Measured& m) {
    return Median(m.seconds) <= quick;
  });
  choices_.Add(key, WordsOf(*chosen->candidate));
  return *chosen->candidate;
}

}  // namespace tunesmith::trainer
