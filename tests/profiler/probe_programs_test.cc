#include "profiler/probe_programs.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "planner/model/catalog.h"
#include "planner/price/op_cost.h"
#include "planner/program/build_program.h"
#include "planner/program/memory_plan.h"
#include "planner/program/op.h"

namespace tunesmith::profiler {
namespace {

using planner::OpKind;

std::vector<planner::ProgramInputs> ProgramsOf(const char* model) {
  return ProbePrograms({.model = planner::FindModel(model).value()},
                       {.kind = planner::BackendKind::kCpu});
}

// As deploy/bundle/gpu-check has them.
std::vector<planner::ProgramInputs> ProgramsOfGpus() {
  return ProbePrograms({.model = planner::FindModel("Llama-2-7b-hf").value(),
                        .context = 2048,
                        .precision = planner::Precision::kBf16},
                       {.kind = planner::BackendKind::kCuda});
}

std::set<OpKind> KindsOf(const planner::Program& program) {
  std::set<OpKind> kinds;
  for (const planner::Segment& segment : program.segments) {
    if (segment.repeat_count == 0) continue;
    for (const planner::BlockRun& run : segment.runs)
      for (const planner::Op& op : program.blocks[static_cast<size_t>(run.block)].ops)
        kinds.insert(op.kind);
  }
  return kinds;
}

// A program that is left out is predicted from the others, so none may be the only one with a kind of op.
TEST(ProbeProgramsTest, EveryKindOfOpIsInTwo) {
  for (const char* model : {"SmolLM2-135M", "MPT-125m", "Gemma-2-2b"}) {
    std::map<OpKind, int> counts;
    for (const planner::ProgramInputs& inputs : ProgramsOf(model)) {
      const auto program = planner::BuildProgram(inputs);
      ASSERT_TRUE(program.ok()) << program.status();
      for (const OpKind kind : KindsOf(*program)) ++counts[kind];
    }
    for (const auto& [kind, count] : counts)
      EXPECT_GE(count, 2) << model << ": " << planner::OpKindName(kind);
  }
}

// What a step of any method, rung and loss runs was timed.
TEST(ProbeProgramsTest, NoKindOfOpIsLeftOut) {
  const planner::ModelSpec model = planner::FindModel("SmolLM2-135M").value();
  std::set<OpKind> probed;
  for (const planner::ProgramInputs& inputs : ProgramsOf("SmolLM2-135M"))
    for (const OpKind kind : KindsOf(*planner::BuildProgram(inputs))) probed.insert(kind);
  for (const char* mix :
       {"method=full recompute=keep:10,norms:10,block:10 attention=eager loss=full batch=2x3",
        "method=lora:r8 recompute=activation:15,gate_up:15 attention=flash loss=chunked batch=1x1",
        "method=qlora:r8 recompute=block:30 attention=flash loss=full batch=1x4"}) {
    planner::ProgramInputs inputs;
    inputs.model = model;
    inputs.mix = planner::ParseMix(mix).value();
    inputs.workload = {.context = 128,
                       .rows_per_step = inputs.mix.micro_batch * inputs.mix.accumulation_count,
                       .evaluates = false,
                       .generates = false};
    const auto program = planner::BuildProgram(inputs);
    ASSERT_TRUE(program.ok()) << program.status();
    for (const OpKind kind : KindsOf(*program))
      EXPECT_TRUE(probed.count(kind)) << mix << ": " << planner::OpKindName(kind);
  }
}

TEST(ProbeProgramsTest, EveryKindOfOpOfGpusIsInTwo) {
  std::map<OpKind, int> counts;
  for (const planner::ProgramInputs& inputs : ProgramsOfGpus()) {
    const auto program = planner::BuildProgram(inputs);
    ASSERT_TRUE(program.ok()) << program.status();
    for (const OpKind kind : KindsOf(*program)) ++counts[kind];
  }
  for (const auto& [kind, count] : counts) EXPECT_GE(count, 2) << planner::OpKindName(kind);
}

// Extrapolating widths and contexts by a factor is what makes predictions wrong.
TEST(ProbeProgramsTest, GpusSeeTheWidthsAndContextsOfLargeModels) {
  int64_t widest = 0, largest_vocabulary = 0;
  std::map<planner::AttentionKernel, int64_t> longest;
  std::set<int64_t> head_sizes;
  for (const planner::ProgramInputs& in : ProgramsOfGpus()) {
    widest = std::max(widest, in.model.hidden_size);
    largest_vocabulary = std::max(largest_vocabulary, in.model.vocab_size);
    head_sizes.insert(in.model.head_size);
    int64_t& context = longest[in.mix.attention];
    context = std::max(context, in.workload.context);
  }
  EXPECT_GE(widest, 8192);
  EXPECT_GE(largest_vocabulary, 151936);
  EXPECT_GE(longest[planner::AttentionKernel::kFlash], 32768);
  EXPECT_GE(longest[planner::AttentionKernel::kEager], 4096);
  EXPECT_EQ(head_sizes, (std::set<int64_t>{64, 128}));
}

// Both directions, at contexts and head sizes of large models; and nothing of it where there is none, or in fp32.
TEST(ProbeProgramsTest, CudnnIsProbedWhereItIs) {
  const auto longest = [](bool has_cudnn, planner::Precision precision) {
    std::map<int64_t, int64_t> by_head_size;
    const planner::ModelSpec model = planner::FindModel("Llama-2-7b-hf").value();
    for (const planner::ProgramInputs& in :
         ProbePrograms({model, 2048, precision, has_cudnn},
                       {.kind = planner::BackendKind::kCuda, .compute_capability = 90})) {
      if (in.mix.attention != planner::AttentionKernel::kCudnn) continue;
      const auto program = planner::BuildProgram(in);
      EXPECT_TRUE(program.ok()) << program.status();
      EXPECT_EQ(KindsOf(*program).count(OpKind::kCudnnAttentionBackward), 1u);
      int64_t& context = by_head_size[in.model.head_size];
      context = std::max(context, in.workload.context);
    }
    return by_head_size;
  };
  EXPECT_EQ(longest(true, planner::Precision::kBf16),
            (std::map<int64_t, int64_t>{{64, 16384}, {128, 32768}}));
  EXPECT_TRUE(longest(false, planner::Precision::kBf16).empty());
  EXPECT_TRUE(longest(true, planner::Precision::kFp32).empty());
}

TEST(ProbeProgramsTest, GpusOfFortyGigabytesHoldTheirs) {
  for (const planner::ProgramInputs& in : ProgramsOfGpus()) {
    const planner::Program program = planner::BuildProgram(in).value();
    EXPECT_LT(planner::MeasureMemory(program).device_bytes(), int64_t{36} << 30)
        << in.model.name << " " << in.workload.context << " " << planner::FormatMix(in.mix);
  }
}

TEST(ProbeProgramsTest, OtherModelsAreSmall) {
  const auto programs = ProgramsOf("Llama-3.1-8B");
  for (size_t i = 6; i < programs.size(); ++i) {
    const planner::Program program = planner::BuildProgram(programs[i]).value();
    EXPECT_LT(planner::PlanMemory(program).device_bytes(), int64_t{2} << 30) << i;
  }
}

}  // namespace
}  // namespace tunesmith::profiler
