// A step allocates nothing large: its memory is the arena. This binary counts every malloc above 64 KiB, whoever calls it.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstddef>

#include "tests/planner/program_fixture.h"
#include "tests/trainer/program_runner.h"

extern "C" void* __libc_malloc(size_t size);
extern "C" void* __libc_calloc(size_t count, size_t size);
extern "C" void* __libc_memalign(size_t alignment, size_t size);

namespace {

constexpr size_t kLargeBytes = 64 << 10;
std::atomic<bool> counting{false};
std::atomic<int64_t> large_count{0};

void Count(size_t size) {
  if (counting && size > kLargeBytes) ++large_count;
}

}  // namespace

// operator new calls malloc, so these see C++ allocations too.
extern "C" void* malloc(size_t size) {
  Count(size);
  return __libc_malloc(size);
}
extern "C" void* calloc(size_t count, size_t size) {
  Count(count * size);
  return __libc_calloc(count, size);
}
extern "C" void* aligned_alloc(size_t alignment, size_t size) {
  Count(size);
  return __libc_memalign(alignment, size);
}

namespace tunesmith::trainer {
namespace {

int64_t LargeAllocationsOf(ProgramRunner& runner) {
  large_count = 0;
  counting = true;
  runner.Step(true);
  counting = false;
  return large_count;
}

TEST(AllocationTest, TheCounterSeesLargeAllocations) {
  large_count = 0;
  counting = true;
  void* volatile block = malloc(kLargeBytes + 1);
  counting = false;
  free(block);
  EXPECT_EQ(large_count, 1);
}

void ExpectNothingLarge(planner::ProgramInputs inputs) {
  // Large enough that one activation is more than 64 KiB.
  inputs.model.context_limit = 512;
  inputs.workload.context = 512;
  ProgramRunner runner(inputs);
  runner.Step(true);  // libraries set themselves up
  EXPECT_EQ(LargeAllocationsOf(runner), 0) << FormatMix(inputs.mix);
}

TEST(AllocationTest, AStepAllocatesNothingLarge) {
  const std::vector<planner::ProgramInputs> grid = planner::ToyGrid(2);
  for (size_t i = 0; i < grid.size(); i += 23) ExpectNothingLarge(grid[i]);  // every axis
}

TEST(AllocationTest, NoOptimizerAndNoNarrowSumAllocates) {
  for (const planner::ProgramInputs& inputs :
       planner::SemanticGrid(2, {planner::Precision::kFp32, planner::Precision::kBf16})) {
    if (inputs.mix.accumulation_count > 1) ExpectNothingLarge(inputs);
  }
}

}  // namespace
}  // namespace tunesmith::trainer
