#include "planner/program/check_streams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/program/build_program.h"
#include "tests/planner/program_fixture.h"
#include "tests/planner/sharing.h"

namespace tunesmith::planner {
namespace {

using ::testing::HasSubstr;

// Any number of layers on the host rung, the others at either end of the ladder.
std::vector<std::array<int64_t, kRungCount>> HostRecomputes(int64_t layer_count) {
  std::vector<std::array<int64_t, kRungCount>> all;
  for (int64_t host = 0; host <= layer_count; ++host) {
    for (const Rung rest : {Rung::kKeep, Rung::kBlock}) {
      all.emplace_back();
      all.back()[static_cast<size_t>(Rung::kHost)] = host;
      all.back()[static_cast<size_t>(rest)] = layer_count - host;
    }
  }
  return all;
}

// Of so many ranks, of which so many share a micro-batch; kernels and accumulation vary along.
ProgramInputs StreamInputs(int64_t layer_count, Mix mix, const Sharing& sharing) {
  const int64_t accumulation =
      1 + (sharing.zero_stage + RankCount(mix) + static_cast<int64_t>(sharing.offload)) % 3;
  mix.lora = {.rank = 2};
  mix.attention = AttentionKernel::kFlash;
  mix.loss = accumulation == 2 ? LossKernel::kFull : LossKernel::kChunked;
  mix.mlp_tile_count = 1 + accumulation % 2;
  mix.accumulation_count = accumulation;
  ProgramInputs inputs =
      ToyInputs(ToyModel(layer_count, accumulation != 1, false), With(mix, sharing));
  inputs.backend.kind = BackendKind::kCuda;
  return inputs;
}

// What ranks may share, with what the host may keep, on a device whose copies and collectives have streams of their own.
std::vector<ProgramInputs> StreamGrid(int64_t layer_count) {
  std::vector<ProgramInputs> grid;
  const auto add_sharings = [&](const Mix& mix) {
    for (const Sharing& sharing : SharingsOf(RankCount(mix))) {
      const ProgramInputs inputs = StreamInputs(layer_count, mix, sharing);
      if (BuildProgram(inputs).ok()) grid.push_back(inputs);
    }
  };
  for (const auto& recompute : HostRecomputes(layer_count)) {
    for (Method method : kAllMethods) {
      for (int64_t ranks : {1, 2, 4}) {
        for (int64_t sequence_parallel : {1, 2}) {
          add_sharings({.method = method,
                        .recompute = recompute,
                        .data_parallel = std::max<int64_t>(1, ranks / sequence_parallel),
                        .sequence_parallel = std::min(ranks, sequence_parallel)});
        }
      }
    }
  }
  return grid;
}

TEST(CheckStreamsTest, WaitsOrderAllThatStreamsShare) {
  for (int64_t layers : {1, 3}) {
    const std::vector<ProgramInputs> grid = StreamGrid(layers);
    ASSERT_GT(grid.size(), 100u);
    for (const ProgramInputs& inputs : grid) {
      const Program program = *BuildProgram(inputs);
      const absl::Status checked = CheckStreams(program, PlanMemory(program));
      ASSERT_TRUE(checked.ok()) << FormatMix(inputs.mix) << ": " << checked;
    }
  }
}

// Of the waits of a program, taken out one at a time: how many there are, and how many are missed.
struct WaitCounts {
  int64_t all = 0;
  int64_t missed = 0;
};
WaitCounts CountWaits(Program program) {
  const MemoryPlan plan = PlanMemory(program);
  WaitCounts counts;
  for (Block& block : program.blocks) {
    for (Op& op : block.ops) {
      const uint8_t waits = op.waits;
      for (int stream = 0; stream < kStreamCount; ++stream) {
        if ((waits >> stream & 1u) == 0) continue;
        op.waits = static_cast<uint8_t>(waits & ~(1u << stream));
        ++counts.all;
        counts.missed += !CheckStreams(program, plan).ok();
      }
      op.waits = waits;
    }
  }
  return counts;
}

// A check that misses waits which are there would miss those that are not. Some are for nothing where others say the same.
TEST(CheckStreamsTest, MostWaitsAreMissedWhereTheyAreTakenOut) {
  WaitCounts counts;
  const std::vector<ProgramInputs> grid = StreamGrid(3);
  for (size_t i = 0; i < grid.size(); i += 47) {
    const WaitCounts of_one = CountWaits(*BuildProgram(grid[i]));
    counts.all += of_one.all;
    counts.missed += of_one.missed;
  }
  EXPECT_GT(counts.all, 300);
  EXPECT_GT(counts.missed, counts.all * 2 / 5) << "of " << counts.all;
}

// The input of layer 0 comes from the host beside the backward of layer 1.
TEST(CheckStreamsTest, LayersOnTheHostRungWaitForTheirInputs) {
  Mix mix;
  mix.recompute[static_cast<size_t>(Rung::kHost)] = 2;
  ProgramInputs inputs = ToyInputs(ToyModel(2, true), mix);
  inputs.backend.kind = BackendKind::kCuda;
  Program program = *BuildProgram(inputs);
  for (Block& block : program.blocks)
    for (Op& op : block.ops)
      op.waits = static_cast<uint8_t>(op.waits & ~(1u << static_cast<int>(Stream::kHostToDevice)));
  EXPECT_THAT(CheckStreams(program, PlanMemory(program)).message(), HasSubstr("block_input_slot"));
}

TEST(CheckStreamsTest, NamesBothOpsAndTheBuffer) {
  Mix mix{.zero_stage = 3, .data_parallel = 2};
  ProgramInputs inputs = ToyInputs(ToyModel(3, true), mix);
  inputs.backend.kind = BackendKind::kCuda;
  Program program = *BuildProgram(inputs);
  const MemoryPlan plan = PlanMemory(program);
  for (Block& block : program.blocks)
    for (Op& op : block.ops) op.waits = 0;
  EXPECT_THAT(CheckStreams(program, plan).message(),
              ::testing::AllOf(HasSubstr("does not wait for op"), HasSubstr("stream communication"),
                               HasSubstr("touches")));
  inputs.backend.kind = BackendKind::kCpu;
  EXPECT_TRUE(CheckStreams(*BuildProgram(inputs), plan).ok()) << "one stream orders itself";
}

TEST(CheckStreamsTest, SeesAMemoryThatAStreamDoesNotReach) {
  ProgramInputs inputs = ToyInputs(ToyModel(2, true), {.offload = Offload::kOptimizer});
  inputs.backend.kind = BackendKind::kCuda;
  Program program = *BuildProgram(inputs);
  const MemoryPlan plan = PlanMemory(program);
  for (Block& block : program.blocks)
    for (Op& op : block.ops)
      if (op.stream == Stream::kHost) op.stream = Stream::kCompute;
  EXPECT_THAT(CheckStreams(program, plan).message(), HasSubstr("stream does not reach"));
}

}  // namespace
}  // namespace tunesmith::planner
