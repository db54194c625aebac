#include "trainer/cuda/gemm_tuner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "common/file.h"
#include "tests/common/temporary_directory.h"
#include "tests/gpu/emulation/cublaslt_emulated.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/gemm.h"

// Which of the library's algorithms a product takes. The emulated library offers some that are slow on purpose.
namespace tunesmith::trainer {
namespace {

using emulation::Algorithms;
using ::testing::HasSubstr;

class GemmTunerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("XDG_CACHE_HOME", scratch_.path().c_str(), 1);
    // The likeliest is slow, the next fails, the third is the quickest.
    Algorithms() = {.count = 4, .delays_ms = {8, -1, 0, 4}};
    Restart();
  }
  void TearDown() override {
    Algorithms() = {};
    unsetenv("TUNESMITH_PRODUCT_TUNING");
  }

  void Restart() {
    cuda_.reset();
    cuda_ = CudaContext::Create({}).value();
    memory_ = DeviceBuffer::Create(3 * kBytes).value();
  }

  GemmArgs Product(int64_t n = 16) const {
    const auto operand = [this](int index) {
      return GemmOperand{.data = memory_.data() + index * kBytes, .row_stride = 16};
    };
    return {.m = 16,
            .n = n,
            .k = 16,
            .a = operand(0),
            .b = operand(1),
            .c = operand(2),
            .d = operand(2)};
  }

  absl::Status Tune(const GemmArgs& args) {
    return cuda_->TuneProducts([&] { return Gemm(*cuda_, args); });
  }

  // The index of the algorithm that a product runs by.
  int RunsBy(const GemmArgs& args) {
    Algorithms() = {.count = Algorithms().count, .delays_ms = {0, 0, 0, 0}};
    EXPECT_TRUE(Gemm(*cuda_, args).ok());
    EXPECT_TRUE(cuda_->Synchronize().ok());
    int index = -1;
    for (int i = 0; i < emulation::kMostAlgorithms; ++i) {
      if (Algorithms().run_counts[i] == 0) continue;
      EXPECT_EQ(index, -1) << "two algorithms ran";
      index = i;
    }
    return index;
  }

  static int64_t Runs() {
    int64_t sum = 0;
    for (const int64_t count : Algorithms().run_counts) sum += count;
    return sum;
  }

  static constexpr int64_t kBytes = 16 * 16 * 4;
  TemporaryDirectory scratch_;
  std::unique_ptr<CudaContext> cuda_;
  DeviceBuffer memory_;
};

TEST_F(GemmTunerTest, WithoutTuningTheLikeliestRuns) { EXPECT_EQ(RunsBy(Product()), 0); }

TEST_F(GemmTunerTest, TheQuickestRuns) {
  ASSERT_TRUE(Tune(Product()).ok());
  EXPECT_GT(Algorithms().run_counts[2],
            Algorithms().run_counts[0]);  // one round is enough for the slow
  EXPECT_EQ(RunsBy(Product()), 2);
  EXPECT_EQ(RunsBy(Product(8)), 0);  // another product was not tuned
}

// As a device does with a kernel that it has not run yet.
TEST_F(GemmTunerTest, WhatLoadingTakesDoesNotCount) {
  Algorithms().load_ms[2] = 40;
  ASSERT_TRUE(Tune(Product()).ok());
  EXPECT_EQ(RunsBy(Product()), 2);
}

TEST_F(GemmTunerTest, LongProductsAreMeasuredOnce) {
  Algorithms() = {.count = 4, .delays_ms = {30, 30, 20, 30}};
  ASSERT_TRUE(Tune(Product()).ok());
  EXPECT_EQ(Runs(), 2 * 4);  // once to load
  EXPECT_EQ(RunsBy(Product()), 2);
}

TEST_F(GemmTunerTest, PartsOfASplitDepthAreAddedUpInF32) {
  GemmArgs args = Product();
  ASSERT_TRUE(Tune(args).ok());
  EXPECT_EQ(Algorithms().reduction_schemes, uint32_t{CUBLASLT_REDUCTION_SCHEME_MASK});
  args.input_dtype = args.output_dtype = DType::kBF16;
  ASSERT_TRUE(Tune(args).ok());
  EXPECT_EQ(Algorithms().reduction_schemes, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
}

// An algorithm that was chosen for a bias may not read one that is aligned to less.
TEST_F(GemmTunerTest, BiasesOfOtherAlignmentsAreOtherProducts) {
  GemmArgs args = Product();
  args.bias = memory_.data();
  ASSERT_TRUE(Tune(args).ok());
  EXPECT_EQ(RunsBy(args), 2);
  args.bias = memory_.data() + 4;
  EXPECT_TRUE(Gemm(*cuda_, args).ok());
}

TEST_F(GemmTunerTest, ChoicesAreReadBack) {
  ASSERT_TRUE(Tune(Product()).ok());
  Restart();
  Algorithms().run_counts[0] = Algorithms().run_counts[2] = Algorithms().run_counts[3] = 0;
  ASSERT_TRUE(Tune(Product()).ok());
  EXPECT_EQ(Runs(), 0);  // nothing was measured
  EXPECT_EQ(RunsBy(Product()), 2);
}

TEST_F(GemmTunerTest, AChoiceThatIsNoLongerOfferedIsMeasuredAnew) {
  ASSERT_TRUE(Tune(Product()).ok());
  Restart();
  Algorithms() = {.count = 2, .delays_ms = {8, 0}};
  ASSERT_TRUE(Tune(Product()).ok());
  EXPECT_GT(Runs(), 0);
  EXPECT_EQ(RunsBy(Product()), 1);
}

TEST_F(GemmTunerTest, WhereAllFailTheLikeliestStays) {
  Algorithms() = {.count = 3, .delays_ms = {-1, -1, -1}};
  ASSERT_TRUE(Tune(Product()).ok());
  EXPECT_EQ(RunsBy(Product()), 0);
}

TEST_F(GemmTunerTest, CanBeTurnedOff) {
  setenv("TUNESMITH_PRODUCT_TUNING", "0", 1);
  ASSERT_TRUE(Tune(Product()).ok());
  EXPECT_EQ(Runs(), 0);
  setenv("TUNESMITH_PRODUCT_TUNING", "often", 1);
  const absl::Status status = Tune(Product());
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("TUNESMITH_PRODUCT_TUNING is 'often'"));
}

TEST_F(GemmTunerTest, AnUnwritableCacheIsToldAndCostsNothingElse) {
  const std::string file = scratch_.path() + "/file";
  ASSERT_TRUE(WriteFileAtomically(file, "x").ok());
  setenv("XDG_CACHE_HOME", file.c_str(), 1);
  ASSERT_TRUE(Tune(Product()).ok());
  const auto notes = cuda_->TakeNotes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], HasSubstr("measured anew at every start"));
  EXPECT_EQ(RunsBy(Product()), 2);
}

TEST_F(GemmTunerTest, ErrorsOfTheOpsPass) {
  const absl::Status status = cuda_->TuneProducts([] { return absl::InternalError("of an op"); });
  EXPECT_THAT(std::string(status.message()), HasSubstr("of an op"));
  EXPECT_EQ(RunsBy(Product()), 0);  // and products are computed again
}

}  // namespace
}  // namespace tunesmith::trainer
