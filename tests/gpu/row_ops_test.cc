#include <vector>

#include "tests/gpu/twins.h"
#include "trainer/ops/dequantize_nf4.h"
#include "trainer/ops/dropout.h"
#include "trainer/ops/embedding.h"
#include "trainer/ops/gather_rows.h"
#include "trainer/ops/rope.h"
#include "trainer/ops/split_columns.h"

namespace tunesmith::trainer {
namespace {

class RowTest : public TwinTest {};
INSTANTIATE_FOR_CUDA_DTYPES(RowTest);

// Rows and columns: one of each, odd, more columns than a block has threads, and more than it keeps in registers.
const std::vector<Shape> kShapes = {{1, 1}, {5, 33}, {300, 64}, {19, 1537}, {3, 20000}};

TEST_P(RowTest, Embedding) {
  for (const bool accumulate : {false, true}) {
    for (const Shape shape : kShapes) {
      Misalign(shape.d1 == 64);
      Twin& tokens = Integers("tokens", {shape.d0}, RandomIntegers(shape.d0, 0, 10));
      Twin& weight = Random("weight", {11, shape.d1}, T());
      Twin& y = accumulate ? Random("y", shape, T()) : Poisoned("y", shape, T());
      RunBoth([&](const OpContext& context, auto pick) {
        return Embedding(context, {.tokens = pick(tokens),
                                   .weight = pick(weight),
                                   .y = pick(y),
                                   .accumulate = accumulate});
      });
      ExpectClose(y, accumulate ? Tolerance(T(), 0, 1) : 0);
    }
  }
}

class EmbeddingBackwardTest : public TwinTest {
 protected:
  // A table of 11 rows, some of which are not touched.
  void Check(const std::vector<int32_t>& token_ids, int64_t width, DType gradient,
             bool accumulate) {
    const auto count = static_cast<int64_t>(token_ids.size());
    Twin& tokens = Integers("tokens", {count}, token_ids);
    Twin& dy = Random("dy", {count, width}, T());
    Twin& dweight = accumulate ? Random("dweight", {11, width}, gradient)
                               : Poisoned("dweight", {11, width}, gradient);
    RunBoth([&](const OpContext& context, auto pick) {
      return EmbeddingBackward(context, {.tokens = pick(tokens),
                                         .dy = pick(dy),
                                         .dweight = pick(dweight),
                                         .scale = 1.5,
                                         .accumulate = accumulate});
    });
    ExpectClose(dweight, Tolerance(gradient, 0, static_cast<double>(count)));
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(EmbeddingBackwardTest);

// Few tokens over many rows: each row of the gradient is a sum of many.
TEST_P(EmbeddingBackwardTest, Widths) {
  for (const DType gradient : AccumulatorTypes()) {
    for (const bool accumulate : {false, true}) {
      Check({3}, 1, gradient, accumulate);
      Check(RandomIntegers(700, 0, 7), 33, gradient, accumulate);
      Check(RandomIntegers(300, 0, 7), 576, gradient, accumulate);
      Check(RandomIntegers(40, 0, 7), 1537, gradient, accumulate);
      Misalign(true);
      Check(RandomIntegers(40, 0, 7), 64, gradient, accumulate);
      Misalign(false);
    }
  }
}

// Chunks of 1024 tokens are sorted, and a warp looks into 32 of them at once: tokens that are in all chunks, in the first or the last alone, and of one row.
TEST_P(EmbeddingBackwardTest, ManyChunks) {
  Check(RandomIntegers(2500, 0, 10), 8, DType::kF32, true);
  Check(std::vector<int32_t>(2048, 10), 8, DType::kF32, false);
  std::vector<int32_t> tokens(32768, 5);
  tokens.front() = 9;
  tokens.back() = 0;
  Check(tokens, 8, DType::kF32, true);
}

// Each row is the sum in the order of the positions, bit for bit: in f32 this one depends on the order.
TEST_P(EmbeddingBackwardTest, AddsInOrder) {
  if (T() != DType::kF32) return;
  const std::vector<int32_t> token_ids(1500, 4);
  std::vector<float> values;
  float sum = 0;
  for (const int32_t value : RandomIntegers(1500, -1 << 20, 1 << 20)) {
    values.push_back(static_cast<float>(value) * 0.37f);
    sum += values.back();
  }
  Twin& tokens = Integers("tokens", {1500}, token_ids);
  Twin& dy = Values("dy", {1500, 1}, DType::kF32, values);
  Twin& dweight = Poisoned("dweight", {5, 1}, DType::kF32);
  Twin& expected = Values("expected", {5, 1}, DType::kF32, {0, 0, 0, 0, sum});
  const absl::Status status = EmbeddingBackward(
      cuda_context(), {.tokens = tokens.cuda, .dy = dy.cuda, .dweight = dweight.cuda});
  ASSERT_TRUE(status.ok()) << status;
  ExpectSameOnDevice(expected, dweight);
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
  for (const Shape shape :
       {Shape{1, 1}, Shape{9, 33}, Shape{300, 576}, Shape{5, 64}, Shape{3, 20000}}) {
    Misalign(shape.d1 == 64);
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

// Dropped are the same elements on both devices, whatever the packs.
TEST_P(RowTest, Dropout) {
  for (const bool accumulate : {false, true}) {
    for (const Shape shape :
         {Shape{1, 1}, Shape{9, 33}, Shape{50, 64}, Shape{37, 576}, Shape{3, 20000}}) {
      Misalign(shape.d1 == 64);
      Twin& x = Random("x", shape, T());
      Twin& key = Keys("key", {planner::DropoutKey(3, 4), 21});
      Twin& y = accumulate ? Random("y", shape, T()) : Poisoned("y", shape, T());
      RunBoth([&](const OpContext& context, auto pick) {
        return Dropout(context, {.x = pick(x),
                                 .key = pick(key),
                                 .y = pick(y),
                                 .share = 0.25,
                                 .module_key = 5,
                                 .layer = 2,
                                 .context = 16,
                                 .row_begin = 7,
                                 .accumulate = accumulate});
      });
      ExpectClose(y, Tolerance(T(), 0, 2));
    }
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
       {Case{1, 2, 1, 2}, Case{9, 33, 11, 3}, Case{65, 128, 64, 4}, Case{64, 576, 288, 2},
        Case{7, 576, 288, 2}, Case{5, 64, 32, 8}, Case{3, 2502, 1251, 4}}) {
    Misalign(c.rows == 64);
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

struct RopeCase {
  int64_t token_count, head_count, head_size, rotary_size;
  int64_t other_columns = 0;  // of x, behind the heads
};

class RopeTest : public TwinTest {
 protected:
  template <typename Op>
  void Check(const Op& op, const RopeCase& c, planner::RopeScaling scaling = {}) {
    Twin& x = Random("x", {c.token_count, c.head_count * c.head_size + c.other_columns}, T());
    Twin& positions =
        Integers("positions", {c.token_count}, RandomIntegers(c.token_count, 0, 8191));
    RunBoth([&](const OpContext& context, auto pick) {
      return op(context, RopeArgs{.x = pick(x),
                                  .positions = pick(positions),
                                  .head_count = c.head_count,
                                  .head_size = c.head_size,
                                  .rotary_size = c.rotary_size,
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
  const planner::RopeScaling yarn = {.kind = planner::RopeScalingKind::kYarn, .factor = 4.0};
  for (const auto& scaling : {planner::RopeScaling{}, llama3, yarn}) {
    for (const int64_t head_size : {2, 64, 80}) {
      Check(Rope, {37, 3, head_size, 0}, scaling);
      Check(RopeBackward, {37, 1, head_size, 0}, scaling);
    }
  }
}

// One token, a last block that is not full, heads of one block's whole table, parts of heads that stay, more heads than a block has threads for, and columns that are no heads.
TEST_P(RopeTest, Shapes) {
  for (const RopeCase& c : {RopeCase{1, 1, 2, 0},
                            {1, 9, 64, 0},
                            {129, 5, 64, 0},
                            {3, 2, 512, 0},
                            {9, 3, 80, 32},
                            {9, 3, 20, 16},
                            {17, 40, 64, 0},
                            {17, 3, 64, 0, 128},
                            {9, 3, 20, 16, 7},
                            {300, 1, 2, 0}}) {
    Check(Rope, c);
    Check(RopeBackward, c);
  }
  Misalign(true);
  Check(Rope, {9, 3, 64, 0});
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
  // The last block is not full, and has an odd number of packs of the widest kind; threads that have all of their packs, some, and none.
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{301, 70}, {130, 256}}) {
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

}  // namespace
}  // namespace tunesmith::trainer
