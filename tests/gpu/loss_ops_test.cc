#include <cmath>
#include <limits>
#include <vector>

#include "tests/gpu/twins.h"
#include "trainer/ops/cross_entropy.h"
#include "trainer/ops/elementwise.h"

namespace tunesmith::trainer {
namespace {

class CrossEntropyTest : public TwinTest {
 protected:
  std::vector<int32_t> Labels(Shape shape) {
    return RandomIntegers(shape.d0, -1, static_cast<int32_t>(shape.d1) - 1);
  }

  void CheckLoss(Shape shape) {
    Twin& logits = Random("logits", shape, T(), 4.0);
    Twin& labels = Integers("labels", {shape.d0}, Labels(shape));
    Twin& sum = Doubles("loss_sum", {2.5});
    RunBoth([&](const OpContext& context, auto pick) {
      return CrossEntropy(context,
                          {.logits = pick(logits), .labels = pick(labels), .loss_sum = pick(sum)});
    });
    ExpectClose(sum, Tolerance(DType::kF64, 0, static_cast<double>(shape.d1)));
  }

  void CheckInPlace(Twin& logits, Twin& labels, double soft_cap) {
    Twin& scale = Values("loss_scale", {1}, DType::kF32, {0.125f});
    Twin& sum = Doubles("loss_sum", {2.5});
    RunBoth([&](const OpContext& context, auto pick) {
      return CrossEntropyInPlace(context, {.logits = pick(logits),
                                           .labels = pick(labels),
                                           .loss_scale = pick(scale),
                                           .loss_sum = pick(sum),
                                           .soft_cap = soft_cap});
    });
    const auto vocab = static_cast<double>(logits.cuda.dims[1]);
    ExpectClose(sum, Tolerance(DType::kF64, 0, vocab));
    ExpectClose(logits, Tolerance(T(), 0, 16 + vocab));
  }

  void CheckInPlace(Shape shape, double soft_cap = 0.0) {
    Twin& logits = Random("logits", shape, T(), 4.0);
    CheckInPlace(logits, Integers("labels", {shape.d0}, Labels(shape)), soft_cap);
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(CrossEntropyTest);

// Of one token; odd; packs; more rows than their losses have threads to add them; a loop of several turns, in packs and one by one; rows that fill the 48 KiB of
// shared memory that every kernel may have (of f32, and of bf16); and rows that fill half of a multiprocessor's shared memory, all of it, and more (bf16: 96, 128
// and 251 KiB; f32: twice that).
const std::vector<Shape> kLogits = {{1, 1},     {5, 33},     {300, 64},  {1100, 3},
                                    {19, 5003}, {2, 12288},  {2, 24576}, {3, 49152},
                                    {2, 65536}, {1, 128256}, {1, 65537}};

TEST_P(CrossEntropyTest, Loss) {
  for (const Shape shape : kLogits) CheckLoss(shape);
  Misalign(true);
  CheckLoss({3, 4096});
}

TEST_P(CrossEntropyTest, InPlace) {
  for (const Shape shape : kLogits) CheckInPlace(shape);
  Misalign(true);
  CheckInPlace({3, 4096});
}

TEST_P(CrossEntropyTest, InPlaceOfCappedLogits) {
  for (const Shape shape : {Shape{5, 33}, Shape{3, 4096}}) CheckInPlace(shape, 30.0);
}

// Far from zero and far apart, so that exponentials of what is not below the maximum would overflow; some at -infinity, as masks leave them.
TEST_P(CrossEntropyTest, LargeAndMaskedLogits) {
  constexpr float kMasked = -std::numeric_limits<float>::infinity();
  for (const int64_t vocab : {int64_t{40}, int64_t{4096}, int64_t{4097}}) {
    std::vector<float> values;
    for (const int32_t value : RandomIntegers(2 * vocab, -20, 20))
      values.push_back(value < 0 ? kMasked : 1000.0f + 4.0f * static_cast<float>(value));
    values[1] = values[static_cast<size_t>(vocab) + 2] = 1080.0f;
    Twin& logits = Values("logits", {2, vocab}, T(), values);
    CheckInPlace(logits, Integers("labels", {2}, {1, 2}), 0.0);
  }
}

// A row with a NaN has a loss of NaN, and no other row has.
TEST_P(CrossEntropyTest, NotANumberShows) {
  std::vector<float> values(3 * 64, 0.5f);
  values[70] = NAN;
  Twin& logits = Values("logits", {3, 64}, T(), values);
  CheckInPlace(logits, Integers("labels", {3}, {1, 2, 63}), 0.0);
}

TEST_P(CrossEntropyTest, IgnoredRowsHaveNoGradient) {
  Twin& logits = Random("logits", {3, 5000}, T());
  Twin& zeros = Values("zeros", {3, 5000}, T(), std::vector<float>(3 * 5000, 0.0f));
  CheckInPlace(logits, Integers("labels", {3}, {-1, -100, -1}), 0.0);
  ExpectSameOnDevice(zeros, logits);
}

TEST_P(CrossEntropyTest, SoftCap) {
  for (const Shape shape : {Shape{1, 1}, Shape{7, 13}, Shape{16, 64}, Shape{129, 1000}}) {
    Misalign(shape.d1 == 64);
    Twin& x = Random("x", shape, T(), 20.0);
    RunBoth([&](const OpContext& context, auto pick) {
      return SoftCap(context, {.x = pick(x), .cap = 30.0});
    });
    ExpectClose(x, Tolerance(T(), 0, 4));
  }
}

}  // namespace
}  // namespace tunesmith::trainer
