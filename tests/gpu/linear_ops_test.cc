#include <vector>

#include "tests/gpu/twins.h"
#include "trainer/ops/linear.h"

namespace tunesmith::trainer {
namespace {

struct LinearShape {
  int64_t rows, in, out;
};
// One of each, odd (no 16-byte strides), multiples of 8, and an adapter's rank.
const std::vector<LinearShape> kShapes = {{1, 1, 1},     {5, 33, 7},    {1, 64, 130},
                                          {128, 64, 96}, {70, 576, 16}, {257, 72, 1536}};

class LinearTest : public TwinTest {};
INSTANTIATE_FOR_CUDA_DTYPES(LinearTest);

TEST_P(LinearTest, ForwardWithAndWithoutAddend) {
  for (const LinearShape& s : kShapes) {
    Twin& x = Random("x", {s.rows, s.in}, T());
    Twin& weight = Random("weight", {s.out, s.in}, T());
    Twin& addend = Random("addend", {s.rows, s.out}, T());
    Twin& plain = Poisoned("y", {s.rows, s.out}, T());
    Twin& sum = Poisoned("y + addend", {s.rows, s.out}, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return Linear(context,
                    {.x = pick(x), .weight = pick(weight), .addend = {}, .y = pick(plain)});
    });
    RunBoth([&](const OpContext& context, auto pick) {
      return Linear(context, {.x = pick(x),
                              .weight = pick(weight),
                              .addend = pick(addend),
                              .y = pick(sum),
                              .scale = 0.5});
    });
    ExpectClose(plain, Tolerance(T(), 0, static_cast<double>(s.in)));
    ExpectClose(sum, Tolerance(T(), 0, static_cast<double>(s.in)));
  }
}

TEST_P(LinearTest, ForwardIntoTheAddend) {
  for (const LinearShape& s : kShapes) {
    Twin& x = Random("x", {s.rows, s.in}, T());
    Twin& weight = Random("weight", {s.out, s.in}, T());
    Twin& y = Random("y", {s.rows, s.out}, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return Linear(context,
                    {.x = pick(x), .weight = pick(weight), .addend = pick(y), .y = pick(y)});
    });
    ExpectClose(y, Tolerance(T(), 0, static_cast<double>(s.in)));
  }
}

TEST_P(LinearTest, Bias) {
  for (const LinearShape& s : kShapes) {
    Twin& x = Random("x", {s.rows, s.in}, T());
    Twin& weight = Random("weight", {s.out, s.in}, T());
    Twin& bias = Random("bias", {s.out}, T());
    Twin& y = Poisoned("y", {s.rows, s.out}, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return LinearBias(context,
                        {.x = pick(x), .weight = pick(weight), .bias = pick(bias), .y = pick(y)});
    });
    ExpectClose(y, Tolerance(T(), 0, static_cast<double>(s.in)));
  }
}

TEST_P(LinearTest, BackwardInput) {
  for (const LinearShape& s : kShapes) {
    for (const bool accumulate : {false, true}) {
      Twin& dy = Random("dy", {s.rows, s.out}, T());
      Twin& weight = Random("weight", {s.out, s.in}, T());
      Twin& dx =
          accumulate ? Random("dx", {s.rows, s.in}, T()) : Poisoned("dx", {s.rows, s.in}, T());
      RunBoth([&](const OpContext& context, auto pick) {
        return LinearBackwardInput(context, {.dy = pick(dy),
                                             .weight = pick(weight),
                                             .dx = pick(dx),
                                             .scale = 2.0,
                                             .accumulate = accumulate});
      });
      ExpectClose(dx, Tolerance(T(), 0, static_cast<double>(s.out)));
    }
  }
}

// A third of the columns, as of what stacked adapters form.
Tensor Middle(const Tensor& tensor) {
  const int64_t count = tensor.dims[1] / 3;
  return ColumnsOf(tensor, count, count);
}

TEST_P(LinearTest, ColumnsOfAWiderMatrix) {
  for (const LinearShape& s : kShapes) {
    Twin& x = Random("x", {s.rows, 3 * s.in}, T());
    Twin& weight = Random("weight", {s.out, s.in}, T());
    Twin& dy = Random("dy", {s.rows, s.out}, T());
    Twin& y = Poisoned("y", {s.rows, s.out}, T());
    Twin& dweight = Poisoned("dweight", {s.out, s.in}, T());
    Twin& dx = Random("dx", {s.rows, 3 * s.in}, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return Linear(context, {.x = Middle(pick(x)), .weight = pick(weight), .y = pick(y)});
    });
    RunBoth([&](const OpContext& context, auto pick) {
      return LinearBackwardWeight(context,
                                  {.dy = pick(dy), .x = Middle(pick(x)), .dweight = pick(dweight)});
    });
    RunBoth([&](const OpContext& context, auto pick) {
      return LinearBackwardInput(context,
                                 {.dy = pick(dy), .weight = pick(weight), .dx = Middle(pick(dx))});
    });
    ExpectClose(y, Tolerance(T(), 0, static_cast<double>(s.in)));
    ExpectClose(dweight, Tolerance(T(), 0, static_cast<double>(s.rows)));
    ExpectClose(dx, Tolerance(T(), 0, static_cast<double>(s.out)));
  }
}

TEST_P(LinearTest, BackwardWeightAndBias) {
  for (const LinearShape& s : kShapes) {
    for (const DType gradient : AccumulatorTypes()) {
      for (const bool accumulate : {false, true}) {
        Twin& dy = Random("dy", {s.rows, s.out}, T());
        Twin& x = Random("x", {s.rows, s.in}, T());
        Twin& dweight = accumulate ? Random("dweight", {s.out, s.in}, gradient)
                                   : Poisoned("dweight", {s.out, s.in}, gradient);
        Twin& dbias =
            accumulate ? Random("dbias", {s.out}, gradient) : Poisoned("dbias", {s.out}, gradient);
        RunBoth([&](const OpContext& context, auto pick) {
          return LinearBackwardWeight(context, {.dy = pick(dy),
                                                .x = pick(x),
                                                .dweight = pick(dweight),
                                                .scale = 0.25,
                                                .accumulate = accumulate});
        });
        RunBoth([&](const OpContext& context, auto pick) {
          return BiasBackward(context,
                              {.dy = pick(dy), .dbias = pick(dbias), .accumulate = accumulate});
        });
        ExpectClose(dweight, Tolerance(gradient, 0, static_cast<double>(s.rows)));
        ExpectClose(dbias, Tolerance(gradient, 0, static_cast<double>(s.rows)));
      }
    }
  }
}

}  // namespace
}  // namespace tunesmith::trainer
