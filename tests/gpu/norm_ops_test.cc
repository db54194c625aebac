#include <vector>

#include "tests/gpu/twins.h"
#include "trainer/ops/layer_norm.h"
#include "trainer/ops/rms_norm.h"

namespace tunesmith::trainer {
namespace {

// Of one element; odd; of heads, whose rows share a warp; a warp's; a block's; and wider than what a block keeps in registers, in packs and one by one.
const std::vector<Shape> kRows = {{1, 1},   {5, 33},   {37, 64},  {300, 8},   {9, 576},
                                  {1, 896}, {3, 1537}, {2, 4096}, {2, 20000}, {2, 2501}};

class RmsNormTest : public TwinTest {
 protected:
  void CheckForward(Shape shape, bool in_place) {
    Twin& x = Random("x", shape, T());
    Twin& weight = Random("weight", {shape.d1}, T());
    Twin& y = in_place ? x : Poisoned("y", shape, T());
    Twin& rstd = Poisoned("rstd", {shape.d0}, DType::kF32);
    RunBoth([&](const OpContext& context, auto pick) {
      return RmsNorm(context, {.x = pick(x),
                               .weight = pick(weight),
                               .y = pick(y),
                               .rstd = pick(rstd),
                               .epsilon = 1e-5,
                               .weight_offset = 1.0});
    });
    ExpectClose(y, Tolerance(T(), 0, static_cast<double>(shape.d1)));
    ExpectClose(rstd, Tolerance(DType::kF32, 0, static_cast<double>(shape.d1)));
  }

  void CheckBackward(Shape shape, bool accumulate, bool in_place) {
    Twin& dy = Random("dy", shape, T());
    Twin& x = Random("x", shape, T());
    Twin& weight = Random("weight", {shape.d1}, T());
    Twin& rstd = Random("rstd", {shape.d0}, DType::kF32);
    Twin& dx = in_place ? dy : accumulate ? Random("dx", shape, T()) : Poisoned("dx", shape, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return RmsNormBackward(context, {.dy = pick(dy),
                                       .x = pick(x),
                                       .weight = pick(weight),
                                       .rstd = pick(rstd),
                                       .dx = pick(dx),
                                       .accumulate = accumulate});
    });
    // With one column the two terms nearly cancel: the sum is taken to be of more terms than it is.
    ExpectClose(dx, Tolerance(T(), 0, 64 + static_cast<double>(shape.d1)));
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(RmsNormTest);

TEST_P(RmsNormTest, Forward) {
  for (const Shape shape : kRows) {
    CheckForward(shape, false);
    CheckForward(shape, true);
  }
  Misalign(true);
  CheckForward({9, 576}, false);
}

TEST_P(RmsNormTest, BackwardInput) {
  for (const Shape shape : kRows) {
    CheckBackward(shape, false, false);
    CheckBackward(shape, true, false);
    CheckBackward(shape, false, true);
  }
  Misalign(true);
  CheckBackward({9, 576}, false, true);
}

// One chunk, a chunk that is not full, and as many as there may be, with more rows than a thread loads at once; a tile of columns that is not full.
const std::vector<Shape> kColumns = {{1, 1},    {9, 33},   {2050, 70}, {1, 64},
                                     {70, 576}, {5000, 9}, {4500, 72}, {20000, 8}};

TEST_P(RmsNormTest, BackwardWeight) {
  for (const DType gradient : AccumulatorTypes()) {
    for (const bool accumulate : {false, true}) {
      for (const Shape shape : kColumns) {
        Misalign(shape.d1 == 64);
        Twin& dy = Random("dy", shape, T());
        Twin& x = Random("x", shape, T());
        Twin& rstd = Random("rstd", {shape.d0}, DType::kF32);
        Twin& dweight = accumulate ? Random("dweight", {shape.d1}, gradient)
                                   : Poisoned("dweight", {shape.d1}, gradient);
        RunBoth([&](const OpContext& context, auto pick) {
          return RmsNormBackwardWeight(context, {.dy = pick(dy),
                                                 .x = pick(x),
                                                 .rstd = pick(rstd),
                                                 .dweight = pick(dweight),
                                                 .accumulate = accumulate});
        });
        ExpectClose(dweight, Tolerance(gradient, 0, 8 + static_cast<double>(shape.d0)));
      }
    }
  }
}

class LayerNormTest : public TwinTest {
 protected:
  void CheckForward(Shape shape, bool has_bias) {
    Twin& x = Random("x", shape, T());
    Twin& weight = Random("weight", {shape.d1}, T());
    Twin& bias = Random("bias", {shape.d1}, T());
    Twin& y = Poisoned("y", shape, T());
    Twin& mean = Poisoned("mean", {shape.d0}, DType::kF32);
    Twin& rstd = Poisoned("rstd", {shape.d0}, DType::kF32);
    RunBoth([&](const OpContext& context, auto pick) {
      return LayerNorm(context, {.x = pick(x),
                                 .weight = pick(weight),
                                 .bias = has_bias ? pick(bias) : Tensor{},
                                 .y = pick(y),
                                 .mean = pick(mean),
                                 .rstd = pick(rstd),
                                 .epsilon = 1e-5});
    });
    const auto terms = static_cast<double>(shape.d1);
    // The mean is a sum of terms of both signs.
    ExpectClose(mean, Tolerance(DType::kF32, 0, 64 * terms));
    ExpectClose(rstd, Tolerance(DType::kF32, 0, 64 + terms));
    ExpectClose(y, Tolerance(T(), 0, 64 + terms));
  }

  void CheckBackward(Shape shape, bool accumulate, bool in_place) {
    Twin& dy = Random("dy", shape, T());
    Twin& x = Random("x", shape, T());
    Twin& weight = Random("weight", {shape.d1}, T());
    Twin& mean = Random("mean", {shape.d0}, DType::kF32);
    Twin& rstd = Random("rstd", {shape.d0}, DType::kF32);
    Twin& dx = in_place ? dy : accumulate ? Random("dx", shape, T()) : Poisoned("dx", shape, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return LayerNormBackward(context, {.dy = pick(dy),
                                         .x = pick(x),
                                         .weight = pick(weight),
                                         .mean = pick(mean),
                                         .rstd = pick(rstd),
                                         .dx = pick(dx),
                                         .accumulate = accumulate});
    });
    ExpectClose(dx, Tolerance(T(), 0, 256 + static_cast<double>(shape.d1)));
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(LayerNormTest);

TEST_P(LayerNormTest, Forward) {
  for (const Shape shape : kRows) {
    CheckForward(shape, true);
    CheckForward(shape, false);
  }
  Misalign(true);
  CheckForward({9, 576}, true);
}

TEST_P(LayerNormTest, BackwardInput) {
  for (const Shape shape : kRows) {
    if (shape.d1 == 1) continue;  // all of it cancels
    CheckBackward(shape, false, false);
    CheckBackward(shape, true, false);
    CheckBackward(shape, false, true);
  }
  Misalign(true);
  CheckBackward({9, 576}, false, true);
}

TEST_P(LayerNormTest, BackwardWeight) {
  for (const Shape shape : kColumns) {
    Twin& dy = Random("dy", shape, T());
    Twin& x = Random("x", shape, T());
    Twin& mean = Random("mean", {shape.d0}, DType::kF32);
    Twin& rstd = Random("rstd", {shape.d0}, DType::kF32);
    Twin& dweight = Poisoned("dweight", {shape.d1}, DType::kF32);
    RunBoth([&](const OpContext& context, auto pick) {
      return LayerNormBackwardWeight(context, {.dy = pick(dy),
                                               .x = pick(x),
                                               .mean = pick(mean),
                                               .rstd = pick(rstd),
                                               .dweight = pick(dweight)});
    });
    ExpectClose(dweight, Tolerance(DType::kF32, 0, 8 + static_cast<double>(shape.d0)));
  }
}

}  // namespace
}  // namespace tunesmith::trainer
