#include "planner/price/op_cost.h"

#include <gtest/gtest.h>

#include "planner/program/build_program.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

// The bytes of the one embedding_backward of a program, where it adds to its table.
double EmbeddingBackwardBytes(Precision precision, AccumulationDtype accumulation) {
  ProgramInputs inputs = ToyInputs(ToyModel(1, false), {.method = Method::kFull,
                                                        .precision = precision,
                                                        .accumulation_dtype = accumulation,
                                                        .attention = AttentionKernel::kFlash,
                                                        .micro_batch = 2});
  const Program program = BuildProgram(inputs).value();
  for (const Block& block : program.blocks) {
    for (const Op& op : block.ops) {
      if (op.kind == OpKind::kEmbeddingBackward) return CostOf(program, op, true).bytes;
    }
  }
  ADD_FAILURE() << "no embedding_backward";
  return 0;
}

// 2 x 16 tokens of 24: dy is read, the tokens' rows of the table are read and written, 4 bytes name each token.
TEST(OpCostTest, AnEmbeddingsGradientCountsRowsInTheDtypeOfTheirSums) {
  constexpr double kTokens = 32, kElements = kTokens * 24;
  EXPECT_EQ(EmbeddingBackwardBytes(Precision::kFp32, AccumulationDtype::kFp32),
            kElements * (4 + 2 * 4) + kTokens * 4);
  EXPECT_EQ(EmbeddingBackwardBytes(Precision::kBf16, AccumulationDtype::kFp32),
            kElements * (2 + 2 * 4) + kTokens * 4);
  EXPECT_EQ(EmbeddingBackwardBytes(Precision::kBf16, AccumulationDtype::kBf16),
            kElements * (2 + 2 * 2) + kTokens * 4);
}

}  // namespace
}  // namespace tunesmith::planner
