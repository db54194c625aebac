#include "trainer/noise_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "planner/program/build_program.h"
#include "trainer/executor.h"
#include "trainer/open_device.h"
#include "trainer/pieces.h"
#include "trainer/selftest_model.h"

namespace tunesmith::trainer {
namespace {

planner::ProgramInputs Inputs(const char* mix) {
  planner::ProgramInputs in;
  in.model = SelfTestModel();
  in.mix = planner::ParseMix(mix).value();
  in.mix.recompute[0] = in.model.layer_count;
  in.workload = {.context = 32,
                 .rows_per_step = in.mix.micro_batch * in.mix.accumulation_count,
                 .evaluates = false,
                 .generates = false};
  return in;
}

// Words of eight bytes that are zero: of random numbers of any dtype, and of ones, none is.
int64_t ZeroWords(Arena& arena, const std::vector<Piece>& pieces) {
  int64_t count = 0;
  for (const Piece& piece : pieces) {
    std::vector<uint64_t> words(static_cast<size_t>(piece.bytes / 8));
    EXPECT_TRUE(arena
                    .Read(piece.buffer, piece.instance, words.data(),
                          static_cast<int64_t>(8 * words.size()), piece.buffer_first)
                    .ok());
    count += std::count(words.begin(), words.end(), 0u);
  }
  return count;
}

bool IsMoment(const std::string& name) { return name.find(".moment") != std::string::npos; }

TEST(NoiseWeightsTest, AllOfAMemoryIsSmallNumbers) {
  const auto device = OpenDevice::Open("cpu", 1).value();
  const auto memory = DeviceMemory::Allocate(device.context(), 7'000'004).value();
  ASSERT_TRUE(FillWithNoise(device.context(), *memory).ok());
  const auto* const numbers = reinterpret_cast<const float*>(memory->data());
  const int64_t count = memory->size_bytes() / 4;
  EXPECT_TRUE(std::all_of(numbers, numbers + count,
                          [](float x) { return x != 0 && std::abs(x) <= 0.021f; }));
  std::vector<float> sorted(numbers, numbers + count);
  std::sort(sorted.begin(), sorted.end());
  EXPECT_GT(std::unique(sorted.begin(), sorted.end()) - sorted.begin(), 100'000);
}

TEST(NoiseWeightsTest, NoWeightOrMasterCopyIsLeftAtZero) {
  for (const char* mix : {"method=full precision=bf16 attention=flash batch=1x2",
                          "method=full batch=1x2", "method=lora:r4 batch=1x2",
                          "method=full precision=bf16 attention=flash offload=optimizer batch=1x2",
                          "method=full precision=bf16 attention=flash offload=all batch=1x2"}) {
    const auto device = OpenDevice::Open("cpu", 1).value();
    const auto executor =
        Executor::Create(planner::BuildProgram(Inputs(mix)).value(), device.context(), {}).value();
    ASSERT_TRUE(FillWithNoise(executor->arena()).ok()) << mix;
    int64_t tensor_count = 0;
    for (const StateTensor& tensor : StateTensorsOf(executor->program(), 0)) {
      if (IsMoment(tensor.name)) continue;
      EXPECT_EQ(ZeroWords(executor->arena(), tensor.held), 0) << mix << ": " << tensor.name;
      ++tensor_count;
    }
    EXPECT_GT(tensor_count, 10) << mix;
  }
}

// A frozen base is no state; nor are its codes and magnitudes.
TEST(NoiseWeightsTest, NoFrozenBaseIsLeftAtZero) {
  for (const char* mix : {"method=qlora:r4 batch=1x1", "method=qlora:r4:single batch=1x1",
                          "method=lora:r4 batch=1x1"}) {
    const auto device = OpenDevice::Open("cpu", 1).value();
    const auto executor =
        Executor::Create(planner::BuildProgram(Inputs(mix)).value(), device.context(), {}).value();
    ASSERT_TRUE(FillWithNoise(executor->arena()).ok()) << mix;
    for (const planner::Parameter& p : executor->program().parameters)
      for (const int32_t buffer : {p.weight, p.absmax, p.absmax_scale}) {
        if (buffer < 0) continue;
        const std::vector<Piece> pieces = WeightPieces(executor->program(), 0, buffer, 0);
        ASSERT_EQ(pieces.size(), 1u);
        // Codes of the smallest magnitudes may be zero, a few at a time.
        EXPECT_LE(ZeroWords(executor->arena(), pieces), pieces[0].bytes / 800) << mix;
      }
  }
}

TEST(NoiseWeightsTest, MasterCopiesAreTheWeights) {
  const auto device = OpenDevice::Open("cpu", 1).value();
  const auto executor =
      Executor::Create(
          planner::BuildProgram(Inputs("method=full precision=bf16 attention=flash batch=1x1"))
              .value(),
          device.context(), {})
          .value();
  ASSERT_TRUE(FillWithNoise(executor->arena()).ok());
  const planner::Program& program = executor->program();
  for (const planner::Parameter& p : program.parameters) {
    const auto count =
        static_cast<size_t>(planner::ElementCount(program.buffers[static_cast<size_t>(p.weight)]));
    std::vector<uint16_t> narrow(count);
    std::vector<float> wide(count);
    ASSERT_TRUE(executor->arena().Read(p.weight, 0, narrow.data(), 2 * count).ok());
    ASSERT_TRUE(executor->arena().Read(p.master, 0, wide.data(), 4 * count).ok());
    for (size_t i = 0; i < count; ++i) ASSERT_EQ(narrow[i], Bf16FromFloat(wide[i]));
  }
}

}  // namespace
}  // namespace tunesmith::trainer
