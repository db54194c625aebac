#include "trainer/ops/run_op.h"

#include "tests/trainer/ops/op_test_util.h"

namespace tunesmith::trainer {
namespace {

using planner::OpKind;

OpCall MakeCall(OpKind kind, std::vector<Tensor> inputs, std::vector<Tensor> outputs,
                planner::OpAttributes attributes = {}) {
  static const planner::ModelSpec model;
  OpCall call;
  call.model = &model;
  call.kind = kind;
  call.attributes = attributes;
  call.input_count = static_cast<int>(inputs.size());
  call.output_count = static_cast<int>(outputs.size());
  std::copy(inputs.begin(), inputs.end(), call.inputs.begin());
  std::copy(outputs.begin(), outputs.end(), call.outputs.begin());
  return call;
}

// Every kind reaches its own op: with no tensors, each names itself.
TEST(RunOp, ReachesEveryOp) {
  CpuContext context;
  for (int i = 0; i < planner::kOpKindCount; ++i) {
    const OpKind kind = static_cast<OpKind>(i);
    const std::string name(planner::OpKindName(kind));
    ExpectInvalid(RunOp(context, MakeCall(kind, {}, {})), name + ": ");
  }
}

TEST(RunOp, PassesTensorsAndAttributes) {
  CpuContext context;
  HostTensor<float> x({1, 2}), weight({1, 2}), addend({1, 1}, 10.0f), y({1, 1});
  x.values = {1, 2};
  weight.values = {3, 4};
  EXPECT_OK(RunOp(context, MakeCall(OpKind::kLinear, {x, weight, addend}, {y}, {.scale = 2})));
  EXPECT_EQ(y[0], 32.0f);
  EXPECT_OK(RunOp(context, MakeCall(OpKind::kLinear, {x, weight}, {y}, {.scale = 2})));
  EXPECT_EQ(y[0], 22.0f);
  HostTensor<float> dx({1, 2}, 1.0f);
  EXPECT_OK(RunOp(context, MakeCall(OpKind::kLinearBackwardInput, {y, weight}, {dx},
                                    {.scale = 1, .accumulate = true})));
  EXPECT_EQ(dx.values, (std::vector<float>{67, 89}));
}

TEST(RunOp, RopeTurnsInPlace) {
  CpuContext context;
  HostTensor<float> x({1, 2});
  x.values = {1, 0};
  auto positions = IntTensor({1});
  OpCall call = MakeCall(OpKind::kRope, {x, positions}, {x}, {.head_count = 1, .head_size = 2});
  const planner::ModelSpec model{.head_size = 2, .rope_theta = 10000};
  call.model = &model;
  EXPECT_OK(RunOp(context, call));
  EXPECT_NEAR(x[0], std::cos(1.0), 1e-7);
  EXPECT_NEAR(x[1], std::sin(1.0), 1e-7);
}

}  // namespace
}  // namespace tunesmith::trainer
