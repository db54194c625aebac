#include <vector>

#include "tests/gpu/twins.h"
#include "trainer/ops/cross_entropy.h"
#include "trainer/ops/dequantize_nf4.h"
#include "trainer/ops/embedding.h"
#include "trainer/ops/gather_rows.h"
#include "trainer/ops/rms_norm.h"
#include "trainer/ops/rope.h"
#include "trainer/ops/split_columns.h"

namespace tunesmith::trainer {
namespace {

class RowTest : public TwinTest {};
INSTANTIATE_FOR_CUDA_DTYPES(RowTest);

// Rows and columns: one of each, odd, and more columns than a block has threads.
const std::vector<Shape> kShapes = {{1, 1}, {5, 33}, {300, 64}, {19, 1537}};

TEST_P(RowTest, Embedding) {
  for (const Shape shape : kShapes) {
    Twin& tokens = Integers("tokens", {shape.d0}, RandomIntegers(shape.d0, 0, 10));
    Twin& weight = Random("weight", {11, shape.d1}, T());
    Twin& y = Poisoned("y", shape, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return Embedding(context, {.tokens = pick(tokens), .weight = pick(weight), .y = pick(y)});
    });
    ExpectEqual(y);
  }
}

// Few tokens over many rows: each row of the gradient is a sum of many, and some rows are not touched.
TEST_P(RowTest, EmbeddingBackward) {
  for (const DType gradient : AccumulatorTypes()) {
    for (const bool accumulate : {false, true}) {
      for (const Shape shape : {Shape{1, 1}, Shape{700, 33}, Shape{300, 1537}}) {
        Twin& tokens = Integers("tokens", {shape.d0}, RandomIntegers(shape.d0, 0, 7));
        Twin& dy = Random("dy", shape, T());
        Twin& dweight = Random("dweight", {11, shape.d1}, gradient);
        RunBoth([&](const OpContext& context, auto pick) {
          return EmbeddingBackward(context, {.tokens = pick(tokens),
                                             .dy = pick(dy),
                                             .dweight = pick(dweight),
                                             .accumulate = accumulate});
        });
        ExpectClose(dweight, Tolerance(gradient, 0, 700));
      }
    }
  }
}

TEST_P(RowTest, RmsNorm) {
  for (const Shape shape : kShapes) {
    Twin& x = Random("x", shape, T());
    Twin& weight = Random("weight", {shape.d1}, T());
    Twin& y = Poisoned("y", shape, T());
    Twin& rstd = Poisoned("rstd", {shape.d0}, DType::kF32);
    RunBoth([&](const OpContext& context, auto pick) {
      return RmsNorm(context, {.x = pick(x),
                               .weight = pick(weight),
                               .y = pick(y),
                               .rstd = pick(rstd),
                               .epsilon = 1e-5});
    });
    ExpectClose(y, Tolerance(T(), 0, static_cast<double>(shape.d1)));
    ExpectClose(rstd, Tolerance(DType::kF32, 0, static_cast<double>(shape.d1)));
  }
}

// Every second row of 2 N, some indices -1.
std::vector<int32_t> RowsOf(int64_t count) {
  std::vector<int32_t> rows;
  for (int64_t i = 0; i < count; ++i)
    rows.push_back(i % 3 == 2 ? -1 : static_cast<int32_t>(2 * i + 1));
  return rows;
}

class GatherRowsTest : public TwinTest {};
INSTANTIATE_FOR_CUDA_DTYPES(GatherRowsTest);

TEST_P(GatherRowsTest, ThereAndBack) {
  for (const Shape shape : {Shape{1, 1}, Shape{9, 33}, Shape{300, 576}}) {
    Twin& x = Random("x", {2 * shape.d0, shape.d1}, T());
    Twin& rows = Integers("rows", {shape.d0}, RowsOf(shape.d0));
    Twin& y = Poisoned("y", shape, T());
    Twin& dx = Poisoned("dx", {2 * shape.d0, shape.d1}, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return GatherRows(context, {.x = pick(x), .rows = pick(rows), .y = pick(y)});
    });
    ExpectEqual(y);
    RunBoth([&](const OpContext& context, auto pick) {
      return ScatterRows(context, {.dy = pick(y), .rows = pick(rows), .dx = pick(dx)});
    });
    ExpectEqual(dx);
  }
}

// With more parts than columns make up, several hold the same.
class SplitColumnsTest : public TwinTest {};
INSTANTIATE_FOR_CUDA_DTYPES(SplitColumnsTest);

TEST_P(SplitColumnsTest, ThereAndBack) {
  struct Case {
    int64_t rows, columns, width, part_count;
  };
  for (const Case c :
       {Case{1, 2, 1, 2}, Case{9, 33, 11, 3}, Case{65, 128, 64, 4}, Case{64, 576, 288, 2}}) {
    Twin& x = Random("x", {c.rows, c.columns}, T());
    Twin& parts = Poisoned("parts", {c.part_count * c.rows, c.width}, T());
    Twin& back = Poisoned("back", {c.rows, c.columns}, T());
    RunBoth([&](const OpContext& context, auto pick) {
      return SplitColumns(context,
                          {.x = pick(x), .parts = pick(parts), .part_count = c.part_count});
    });
    ExpectEqual(parts);
    RunBoth([&](const OpContext& context, auto pick) {
      return JoinColumns(context,
                         {.parts = pick(parts), .x = pick(back), .part_count = c.part_count});
    });
    ExpectEqual(back);
  }
}

class RmsNormBackwardTest : public TwinTest {
 protected:
  void Check(Shape shape, bool accumulate, bool in_place) {
    Twin& dy = Random("dy", shape, T());
    Twin& x = Random("x", shape, T());
    Twin& weight = Random("weight", {shape.d1}, T());
    Twin& rstd = Random("rstd", {shape.d0}, DType::kF32);
    Twin& dx = in_place ? dy : Random("dx", shape, T());
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
INSTANTIATE_FOR_CUDA_DTYPES(RmsNormBackwardTest);

TEST_P(RmsNormBackwardTest, Input) {
  for (const Shape shape : kShapes) {
    Check(shape, false, false);
    Check(shape, true, false);
    Check(shape, false, true);
  }
}

TEST_P(RmsNormBackwardTest, Weight) {
  for (const DType gradient : AccumulatorTypes()) {
    for (const bool accumulate : {false, true}) {
      for (const Shape shape : {Shape{1, 1}, Shape{9, 33}, Shape{2050, 70}}) {
        Twin& dy = Random("dy", shape, T());
        Twin& x = Random("x", shape, T());
        Twin& rstd = Random("rstd", {shape.d0}, DType::kF32);
        Twin& dweight = Random("dweight", {shape.d1}, gradient);
        RunBoth([&](const OpContext& context, auto pick) {
          return RmsNormBackwardWeight(context, {.dy = pick(dy),
                                                 .x = pick(x),
                                                 .rstd = pick(rstd),
                                                 .dweight = pick(dweight),
                                                 .accumulate = accumulate});
        });
        ExpectClose(dweight, Tolerance(gradient, 0, static_cast<double>(shape.d0)));
      }
    }
  }
}

class RopeTest : public TwinTest {
 protected:
  template <typename Op>
  void Check(const Op& op, int64_t head_count, int64_t head_size, planner::RopeScaling scaling) {
    const int64_t token_count = 37;
    Twin& x = Random("x", {token_count, head_count * head_size}, T());
    Twin& positions = Integers("positions", {token_count}, RandomIntegers(token_count, 0, 8191));
    RunBoth([&](const OpContext& context, auto pick) {
      return op(context, RopeArgs{.x = pick(x),
                                  .positions = pick(positions),
                                  .head_count = head_count,
                                  .head_size = head_size,
                                  .theta = 10000.0,
                                  .scaling = &scaling});
    });
    // Angles up to 8191 rounded to f32 on both sides: equal roundings, but sine and cosine differ by some units in the last place.
    ExpectClose(x, Tolerance(T(), 0, 64));
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(RopeTest);

TEST_P(RopeTest, BothDirections) {
  const planner::RopeScaling llama3 = {.kind = planner::RopeScalingKind::kLlama3, .factor = 8.0};
  for (const auto& scaling : {planner::RopeScaling{}, llama3}) {
    for (const int64_t head_size : {2, 64, 80}) {
      Check(Rope, 3, head_size, scaling);
      Check(RopeBackward, 1, head_size, scaling);
    }
  }
}

class DequantizeNf4Test : public TwinTest {
 protected:
  std::vector<uint8_t> RandomCodes(int64_t count) {
    const std::vector<int32_t> codes = RandomIntegers(count, 0, 255);
    return {codes.begin(), codes.end()};
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(DequantizeNf4Test);

TEST_P(DequantizeNf4Test, BothForms) {
  // The last block is not full, and has an odd number of packs of the widest kind.
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{301, 70}, {128, 256}}) {
    const int64_t blocks = CeilDivide(rows * columns, planner::kNf4BlockSize);
    Twin& codes = Codes("codes", {rows, columns / 2}, RandomCodes(rows * columns / 2));
    Twin& y = Poisoned("y", {rows, columns}, T());
    Twin& plain = Random("absmax", {blocks}, DType::kF32);
    Twin& absmax = Codes("absmax_codes", {blocks}, RandomCodes(blocks));
    Twin& scale =
        Random("absmax_scale", {CeilDivide(blocks, planner::kNf4ScaleBlockSize)}, DType::kF32);
    Twin& offset = Random("absmax_offset", {1}, DType::kF32);
    RunBoth([&](const OpContext& context, auto pick) {
      return DequantizeNf4(context, {.codes = pick(codes), .absmax = pick(plain), .y = pick(y)});
    });
    ExpectClose(y, Tolerance(T(), 0, 1));
    RunBoth([&](const OpContext& context, auto pick) {
      return DequantizeNf4(context, {.codes = pick(codes),
                                     .absmax = pick(absmax),
                                     .absmax_scale = pick(scale),
                                     .absmax_offset = pick(offset),
                                     .y = pick(y)});
    });
    // A magnitude is a product and a sum, fused or not.
    ExpectClose(y, Tolerance(T(), 0, 4));
  }
}

class CrossEntropyTest : public TwinTest {};
INSTANTIATE_FOR_CUDA_DTYPES(CrossEntropyTest);

const std::vector<Shape> kLogits = {{1, 1}, {5, 33}, {300, 64}, {19, 5003}};

TEST_P(CrossEntropyTest, Loss) {
  for (const Shape shape : kLogits) {
    Twin& logits = Random("logits", shape, T(), 4.0);
    Twin& labels = Integers("labels", {shape.d0},
                            RandomIntegers(shape.d0, -1, static_cast<int32_t>(shape.d1) - 1));
    Twin& sum = Doubles("loss_sum", {2.5});
    RunBoth([&](const OpContext& context, auto pick) {
      return CrossEntropy(context,
                          {.logits = pick(logits), .labels = pick(labels), .loss_sum = pick(sum)});
    });
    ExpectClose(sum, Tolerance(DType::kF64, 0, static_cast<double>(shape.d1)));
  }
}

TEST_P(CrossEntropyTest, InPlace) {
  for (const Shape shape : kLogits) {
    Twin& logits = Random("logits", shape, T(), 4.0);
    Twin& labels = Integers("labels", {shape.d0},
                            RandomIntegers(shape.d0, -1, static_cast<int32_t>(shape.d1) - 1));
    Twin& scale = Values("loss_scale", {1}, DType::kF32, {0.125f});
    Twin& sum = Doubles("loss_sum", {2.5});
    RunBoth([&](const OpContext& context, auto pick) {
      return CrossEntropyInPlace(context, {.logits = pick(logits),
                                           .labels = pick(labels),
                                           .loss_scale = pick(scale),
                                           .loss_sum = pick(sum)});
    });
    ExpectClose(sum, Tolerance(DType::kF64, 0, static_cast<double>(shape.d1)));
    ExpectClose(logits, Tolerance(T(), 0, 16 + static_cast<double>(shape.d1)));
  }
}

}  // namespace
}  // namespace tunesmith::trainer
