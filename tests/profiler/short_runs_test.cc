#include "profiler/short_runs.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "planner/program/build_program.h"
#include "planner/program/memory_plan.h"

namespace tunesmith::profiler {
namespace {

using planner::BackendKind;

std::vector<planner::ProgramInputs> RunsOf(BackendKind kind) {
  return ShortRuns(
      kind == BackendKind::kCpu ? planner::Precision::kFp32 : planner::Precision::kBf16,
      {.kind = kind});
}

// Kept samples are found again by the digest of their program.
TEST(ShortRunsTest, AreTheSameEachTimeAndNoTwoAlike) {
  for (const BackendKind kind : {BackendKind::kCpu, BackendKind::kCuda}) {
    const auto runs = RunsOf(kind), again = RunsOf(kind);
    std::set<std::string> digests;
    for (size_t i = 0; i < runs.size(); ++i) {
      const planner::Program program = planner::BuildProgram(runs[i]).value();
      EXPECT_EQ(planner::ProgramDigest(program),
                planner::ProgramDigest(planner::BuildProgram(again[i]).value()));
      digests.insert(planner::ProgramDigest(program));
    }
    EXPECT_EQ(digests.size(), runs.size());
    EXPECT_GE(runs.size(), 19u) << "the second largest of fewer is not their ninth tenth";
  }
}

// The CPU's eager attention is not built for bf16.
TEST(ShortRunsTest, RunOnlyKernelsThatThereAre) {
  for (const planner::ProgramInputs& in : ShortRuns(planner::Precision::kBf16, {}))
    EXPECT_EQ(in.mix.attention, planner::AttentionKernel::kFlash);
}

TEST(ShortRunsTest, SpreadOverWhatIsAsked) {
  for (const BackendKind kind : {BackendKind::kCpu, BackendKind::kCuda}) {
    std::set<planner::Method> methods;
    std::set<planner::AttentionKernel> kernels;
    std::set<planner::LossKernel> losses;
    std::set<int64_t> contexts, widths;
    size_t recomputed = 0;
    for (const planner::ProgramInputs& in : RunsOf(kind)) {
      methods.insert(in.mix.method);
      kernels.insert(in.mix.attention);
      losses.insert(in.mix.loss);
      contexts.insert(in.workload.context);
      widths.insert(in.model.hidden_size);
      recomputed += in.mix.recompute[0] < in.model.layer_count ? 1 : 0;
    }
    EXPECT_EQ(methods.size(), 3u);
    EXPECT_EQ(kernels.size(), 2u);
    EXPECT_EQ(losses.size(), 2u);
    EXPECT_GE(contexts.size(), 4u);
    EXPECT_GE(widths.size(), 4u);
    if (kind == BackendKind::kCuda) {
      EXPECT_GE(*widths.rbegin(), 4096);
      EXPECT_GE(*contexts.rbegin(), 16384);
    }
    EXPECT_GE(recomputed, 5u);
  }
}

TEST(ShortRunsTest, FitAnyDevice) {
  for (const planner::ProgramInputs& in : RunsOf(BackendKind::kCpu))
    EXPECT_LT(planner::PlanMemory(planner::BuildProgram(in).value()).device_bytes(),
              int64_t{2} << 30)
        << planner::FormatMix(in.mix);
  for (const planner::ProgramInputs& in : RunsOf(BackendKind::kCuda))
    EXPECT_LT(planner::PlanMemory(planner::BuildProgram(in).value()).device_bytes(),
              int64_t{20} << 30)
        << planner::FormatMix(in.mix);
}

}  // namespace
}  // namespace tunesmith::profiler
