#include <vector>

#include "planner/program/program.h"
#include "tests/gpu/twins.h"
#include "trainer/ops/activation.h"
#include "trainer/ops/adamw.h"
#include "trainer/ops/elementwise.h"
#include "trainer/ops/gradient_norm.h"
#include "trainer/ops/sgd.h"
#include "trainer/ops/swiglu.h"

namespace tunesmith::trainer {
namespace {

// Odd, a multiple of every pack, and beyond one block.
const std::vector<Shape> kShapes = {{1, 1}, {7, 13}, {16, 64}, {129, 1000}};

class PointwiseTest : public TwinTest {};
INSTANTIATE_FOR_CUDA_DTYPES(PointwiseTest);

TEST_P(PointwiseTest, Add) {
  for (const Shape shape : kShapes) {
    Twin& x = Random("x", shape, T());
    Twin& y = Random("y", shape, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return Add(context, {.x = pick(x), .y = pick(y)});
    });
    ExpectClose(y, Tolerance(T(), 0, 1));
  }
}

TEST_P(PointwiseTest, Clear) {
  Twin& y = Poisoned("y", {7, 13}, T());
  RunBoth([&](const OpContext& context, auto pick) { return Clear(context, {.y = pick(y)}); });
  ExpectEqual(y);
}

TEST_P(PointwiseTest, CopyConverts) {
  for (const DType from : {DType::kF32, DType::kBF16}) {
    for (const Shape shape : {Shape{1}, Shape{7, 13}, Shape{16, 64}, Shape{33, 1000}}) {
      Misalign(shape.d1 == 64);
      Twin& x = Random("x", shape, from);
      Twin& y = Poisoned("y", shape, T());
      RunBoth([&](const OpContext& context, auto pick) {
        return Copy(context, {.x = pick(x), .y = pick(y)});
      });
      ExpectClose(y, from == T() ? 0 : Tolerance(T(), 0, 0));
    }
  }
}

TEST_P(PointwiseTest, SwiGlu) {
  for (const Shape shape : kShapes) {
    Twin& gate = Random("gate", shape, T(), 3.0);
    Twin& up = Random("up", shape, T());
    Twin& y = Poisoned("y", shape, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return SwiGlu(context, {.gate = pick(gate), .up = pick(up), .y = pick(y)});
    });
    ExpectClose(y, Tolerance(T(), 0, 4));
  }
}

TEST_P(PointwiseTest, SwiGluBackward) {
  for (const Shape shape : kShapes) {
    Twin& dy = Random("dy", shape, T());
    Twin& gate = Random("gate", shape, T(), 3.0);
    Twin& up = Random("up", shape, T());
    Twin& dgate = Poisoned("dgate", shape, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return SwiGluBackward(context, {.dy = pick(dy),
                                      .gate = pick(gate),
                                      .up = pick(up),
                                      .dgate = pick(dgate),
                                      .dup = pick(dy)});  // in dy's storage
    });
    ExpectClose(dgate, Tolerance(T(), 0, 8));
    ExpectClose(dy, Tolerance(T(), 0, 4));
  }
}

TEST_P(PointwiseTest, SwiGluOfColumns) {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{1, 1}, {5, 33}, {70, 64}}) {
    const Shape one = {rows, width}, both = {rows, 2 * width};
    Twin& dy = Random("dy", one, T());
    Twin& x = Random("gate and up", both, T(), 3.0);
    Twin& y = Poisoned("y", one, T());
    Twin& dx = Poisoned("their gradients", both, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return SwiGlu(context, {.gate = ColumnsOf(pick(x), 0, width),
                              .up = ColumnsOf(pick(x), width, width),
                              .y = pick(y)});
    });
    RunBoth([&](const OpContext& context, auto pick) {
      return SwiGluBackward(context, {.dy = pick(dy),
                                      .gate = ColumnsOf(pick(x), 0, width),
                                      .up = ColumnsOf(pick(x), width, width),
                                      .dgate = ColumnsOf(pick(dx), 0, width),
                                      .dup = ColumnsOf(pick(dx), width, width)});
    });
    ExpectClose(y, Tolerance(T(), 0, 4));
    ExpectClose(dx, Tolerance(T(), 0, 8));
  }
}

TEST_P(PointwiseTest, Activations) {
  using planner::Activation;
  for (const Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh,
                                      Activation::kQuickGelu, Activation::kRelu}) {
    for (const Shape shape : kShapes) {
      Misalign(shape.d1 == 64);
      Twin& x = Random("x", shape, T(), 3.0);
      Twin& y = Poisoned("y", shape, T());
      Twin& dy = Random("dy", shape, T());
      RunBoth([&](const OpContext& context, auto pick) {
        return ApplyActivation(context, {.x = pick(x), .y = pick(y), .activation = activation});
      });
      ExpectClose(y, Tolerance(T(), 0, 16));
      RunBoth([&](const OpContext& context, auto pick) {
        return ActivationBackward(context, {.dy = pick(dy),
                                            .x = pick(x),
                                            .dx = pick(dy),  // in dy's storage
                                            .activation = activation});
      });
      // What is left of 1 - sigmoid is multiplied by up to 30.
      ExpectClose(dy, Tolerance(T(), 0, 256));
    }
  }
}

// The largest give every thread several elements, or packs, to load at once, and the misaligned one another turn of that.
TEST_P(PointwiseTest, SumSquaresAddsInDouble) {
  for (const Shape shape :
       {Shape{1}, Shape{777}, Shape{1000, 1032}, Shape{3000, 1000}, Shape{1100, 1031}}) {
    Misalign(shape.d1 == 1031);
    Twin& x = Random("x", shape, T());
    Twin& sum = Doubles("sum", {0.5});
    RunBoth([&](const OpContext& context, auto pick) {
      return SumSquares(context, {.x = pick(x), .sum = pick(sum)});
    });
    ExpectClose(sum, 1e-12);
  }
}

std::vector<float> StepScalars(float max_gradient_norm) {
  std::vector<float> scalars(planner::kStepScalarCount, 0.0f);
  scalars[planner::kLearningRate] = 1e-2f;
  scalars[planner::kBeta1] = 0.9f;
  scalars[planner::kBeta2] = 0.95f;
  scalars[planner::kBiasCorrection1] = 0.271f;
  scalars[planner::kBiasCorrection2] = 0.142625f;
  scalars[planner::kEpsilon] = 1e-8f;
  scalars[planner::kWeightDecay] = 0.1f;
  scalars[planner::kMaxGradientNorm] = max_gradient_norm;
  return scalars;
}

TEST_P(PointwiseTest, ClipFactor) {
  for (const float max_norm : {0.0f, 1.0f, 100.0f}) {
    Twin& sum = Doubles("sum", {9.0});
    Twin& scalars =
        Values("step_scalars", {planner::kStepScalarCount}, DType::kF32, StepScalars(max_norm));
    Twin& factor = Poisoned("clip_factor", {1}, DType::kF32);
    Twin& norm = Poisoned("gradient_norm", {1}, DType::kF32);
    RunBoth([&](const OpContext& context, auto pick) {
      return ClipFactor(context, {.sum = pick(sum),
                                  .step_scalars = pick(scalars),
                                  .clip_factor = pick(factor),
                                  .gradient_norm = pick(norm)});
    });
    ExpectClose(factor, Tolerance(DType::kF32, 0, 1));
    ExpectClose(norm, Tolerance(DType::kF32, 0, 1));
  }
}

struct AdamWCase {
  DType gradient, moments;
  bool has_master;
};

class AdamWTest : public TwinTest {
 protected:
  std::vector<AdamWCase> Cases() const {
    if (T() == DType::kF32) return {{T(), T(), false}};
    return {{T(), T(), false},
            {DType::kF32, T(), false},
            {T(), DType::kF32, true},
            {DType::kF32, DType::kF32, true}};
  }

  void Check(const AdamWCase& c, Shape shape, bool decays) {
    Twin& gradient = Random("gradient", shape, c.gradient);
    Twin& factor = Values("clip_factor", {1}, DType::kF32, {0.5f});
    Twin& scalars =
        Values("step_scalars", {planner::kStepScalarCount}, DType::kF32, StepScalars(1.0f));
    Twin& parameter = Random("parameter", shape, T());
    Twin& m = Random("moment1", shape, c.moments, 0.1);
    Twin& v = Values("moment2", shape, c.moments,
                     std::vector<float>(static_cast<size_t>(shape.count()), 0.01f));
    Twin& master = Random("master", shape, DType::kF32);
    Twin& key = Keys("step_key", {planner::StepKey(3, 4)});
    RunBoth([&](const OpContext& context, auto pick) {
      return AdamW(context, {.gradient = pick(gradient),
                             .clip_factor = pick(factor),
                             .step_scalars = pick(scalars),
                             .step_key = pick(key),
                             .parameter = pick(parameter),
                             .moment1 = pick(m),
                             .moment2 = pick(v),
                             .master = c.has_master ? pick(master) : Tensor{},
                             .decays = decays});
    });
    // What is rounded stochastically may be a whole step off, twice what is rounded to nearest.
    ExpectClose(parameter, Tolerance(T(), c.has_master ? 0 : 1, 8));
    ExpectClose(m, Tolerance(c.moments, 1, 2));
    ExpectClose(v, Tolerance(c.moments, 1, 2));
    if (c.has_master) ExpectClose(master, Tolerance(DType::kF32, 0, 8));
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(AdamWTest);

TEST_P(AdamWTest, UpdatesEveryState) {
  for (const AdamWCase& c : Cases()) {
    for (const Shape shape : {Shape{1}, Shape{7, 13}, Shape{64, 100}}) {
      Check(c, shape, true);
      Check(c, shape, false);
    }
    Misalign(true);
    Check(c, {16, 64}, true);
    Misalign(false);
  }
}

class CodedAdamWTest : public TwinTest {
 protected:
  // Codes may differ by one where a quotient lies on a midpoint.
  void Check(int64_t count, DType gradient_dtype, bool has_master) {
    const int64_t blocks = CeilDivide(count, planner::kStateBlockSize);
    Twin& gradient = Random("gradient", {count}, gradient_dtype);
    Twin& factor = Values("clip_factor", {1}, DType::kF32, {0.5f});
    Twin& scalars =
        Values("step_scalars", {planner::kStepScalarCount}, DType::kF32, StepScalars(1.0f));
    Twin& key = Keys("step_key", {planner::StepKey(3, 4)});
    Twin& parameter = Random("parameter", {count}, T());
    Twin& master = Random("master", {count}, DType::kF32);
    std::vector<uint8_t> codes;
    for (int32_t code : RandomIntegers(count, 0, 255)) codes.push_back(static_cast<uint8_t>(code));
    Twin& m = Codes("moment1", {count}, codes);
    Twin& v = Codes("moment2", {count}, codes);
    Twin& m_scale = Values("moment1_scale", {blocks}, DType::kF32, Scales(blocks, 0.1f));
    Twin& v_scale = Values("moment2_scale", {blocks}, DType::kF32, Scales(blocks, 0.01f));
    RunBoth([&](const OpContext& context, auto pick) {
      return AdamW(context, {.gradient = pick(gradient),
                             .clip_factor = pick(factor),
                             .step_scalars = pick(scalars),
                             .step_key = pick(key),
                             .parameter = pick(parameter),
                             .moment1 = pick(m),
                             .moment2 = pick(v),
                             .moment1_scale = pick(m_scale),
                             .moment2_scale = pick(v_scale),
                             .master = has_master ? pick(master) : Tensor{},
                             .decays = true});
    });
    ExpectClose(parameter, Tolerance(T(), has_master ? 0 : 1, 8));
    if (has_master) ExpectClose(master, Tolerance(DType::kF32, 0, 8));
    ExpectClose(m, 1e-2);
    ExpectClose(v, 1e-2);
    ExpectClose(m_scale, Tolerance(DType::kF32, 0, 2));
    ExpectClose(v_scale, Tolerance(DType::kF32, 0, 2));
  }

 private:
  // Of three kinds, so that one block's is not taken for another's.
  static std::vector<float> Scales(int64_t count, float unit) {
    std::vector<float> scales;
    for (int64_t i = 0; i < count; ++i) scales.push_back(unit * static_cast<float>(1 + i % 3));
    return scales;
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(CodedAdamWTest);

// Blocks of 256 elements, the last one shorter; in packs of four and one by one.
TEST_P(CodedAdamWTest, UpdatesEveryState) {
  for (const DType gradient : AccumulatorTypes()) {
    for (const int64_t count : {1, 256, 700, 701, 6000}) {
      Check(count, gradient, true);
      Check(count, gradient, false);
    }
    Misalign(true);
    Check(700, gradient, true);
    Misalign(false);
  }
}

// More blocks of elements than warps are started for.
TEST_P(CodedAdamWTest, ManyBlocks) { Check(256 * 8500, DType::kF32, T() == DType::kBF16); }

class SgdTest : public TwinTest {
 protected:
  void Check(Shape shape, DType gradient_dtype, bool has_master, bool decays) {
    Twin& gradient = Random("gradient", shape, gradient_dtype);
    Twin& factor = Values("clip_factor", {1}, DType::kF32, {0.5f});
    Twin& scalars =
        Values("step_scalars", {planner::kStepScalarCount}, DType::kF32, StepScalars(1.0f));
    Twin& parameter = Random("parameter", shape, T());
    Twin& master = Random("master", shape, DType::kF32);
    Twin& key = Keys("step_key", {planner::StepKey(3, 4)});
    RunBoth([&](const OpContext& context, auto pick) {
      return Sgd(context, {.gradient = pick(gradient),
                           .clip_factor = pick(factor),
                           .step_scalars = pick(scalars),
                           .step_key = pick(key),
                           .parameter = pick(parameter),
                           .master = has_master ? pick(master) : Tensor{},
                           .decays = decays});
    });
    ExpectClose(parameter, Tolerance(T(), has_master ? 0 : 1, 4));
    if (has_master) ExpectClose(master, Tolerance(DType::kF32, 0, 4));
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(SgdTest);

TEST_P(SgdTest, UpdatesParameterAndMaster) {
  for (const bool has_master : {false, true}) {
    if (has_master && T() == DType::kF32) continue;
    for (const DType gradient : AccumulatorTypes()) {
      Check({7, 131}, gradient, has_master, true);
      Check({64, 100}, gradient, has_master, true);
      Check({64, 100}, gradient, has_master, false);
      Misalign(true);
      Check({16, 64}, gradient, has_master, true);
      Misalign(false);
    }
  }
}

}  // namespace
}  // namespace tunesmith::trainer
