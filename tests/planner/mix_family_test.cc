#include "planner/answer/mix_family.h"

#include <gtest/gtest.h>

#include "planner/model/hardware.h"
#include "planner/program/build_program.h"
#include "planner/program/memory_plan.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

void ExpectComposedEqualsWhole(const ProgramInputs& inputs, const PriceTable& prices) {
  const auto family = MixFamily::Create(inputs, prices);
  ASSERT_TRUE(family.ok()) << family.status();
  const ComposedMix composed = family->Compose(inputs.mix.recompute, prices);
  const auto program = BuildProgram(inputs);
  ASSERT_TRUE(program.ok()) << program.status();
  const MemoryPlan plan = PlanMemory(*program);
  const std::string what =
      FormatMix(inputs.mix) + " layers=" + std::to_string(inputs.model.layer_count) +
      " context=" + std::to_string(inputs.workload.context) + ": binds at " + plan.binding_instant;
  EXPECT_EQ(composed.arena_bytes, plan.arena_bytes) << what;
  const StepPrice whole = PriceStep(*program, prices);
  EXPECT_EQ(composed.price.step_picoseconds, whole.step_picoseconds) << what;
  EXPECT_EQ(composed.price.communication_picoseconds, whole.communication_picoseconds) << what;
}

TEST(MixFamilyTest, ComposedEqualsWholeOnAllSmallMixes) {
  const PriceTable prices(*FindHardware("A100-80GB"), {}, Precision::kFp32);
  for (int64_t layers : {1, 2, 3, 4}) {
    for (const ProgramInputs& inputs : ToyGrid(layers)) ExpectComposedEqualsWhole(inputs, prices);
  }
}

// Contexts from where weights bind to where the loss, a layer's backward, evaluation or generation do.
TEST(MixFamilyTest, ComposedEqualsWholeWhereOtherInstantsBind) {
  const PriceTable prices(*FindHardware("cpu"), {}, Precision::kFp32);
  for (int64_t vocab : {8, 5000}) {
    for (int64_t context : {1, 64, 600, 3000}) {
      for (ProgramInputs inputs : ToyGrid(3)) {
        inputs.model.vocab_size = vocab;
        inputs.model.context_limit = 4096;
        inputs.workload.context = context;
        inputs.workload.document_capacity = 1;
        ExpectComposedEqualsWhole(inputs, prices);
      }
    }
  }
}

TEST(MixFamilyTest, DataParallelGradientsAreExchangedOnce) {
  const PriceTable prices(*FindHardware("A100-80GB"), {}, Precision::kBf16);
  Mix mix{.method = Method::kFull,
          .precision = Precision::kBf16,
          .micro_batch = 2,
          .accumulation_count = 2,
          .data_parallel = 4};
  ProgramInputs inputs = ToyInputs(ToyModel(2, false), mix);
  inputs.backend.kind = BackendKind::kCuda;
  ExpectComposedEqualsWhole(inputs, prices);
  EXPECT_GT(PriceStep(*BuildProgram(inputs), prices).communication_picoseconds, 0);
}

}  // namespace
}  // namespace tunesmith::planner
