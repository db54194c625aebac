#include "planner/price/row_statistics.h"

#include <gtest/gtest.h>

#include "planner/answer/search.h"
#include "planner/model/catalog.h"
#include "planner/model/row_packer.h"

namespace tunesmith::planner {
namespace {

Workload WorkloadOf(int64_t context, LengthHistogram histogram) {
  return {.context = context, .rows_per_step = 8, .length_histogram = std::move(histogram)};
}

TEST(RowPackerTest, TakesTheFirstOpenRowWithRoomForEverything) {
  RowPacker packer({.context = 10, .document_capacity = 3, .loss_token_capacity = 6});
  EXPECT_EQ(packer.Place(6, 5), 0);
  EXPECT_EQ(packer.Place(3, 2),
            1);  // there is room for its tokens in row 0, not for its predicted ones
  EXPECT_EQ(packer.Place(3, 1), 0);
  EXPECT_EQ(packer.Place(1, 0), 0);  // fills row 0
  EXPECT_EQ(packer.Place(1, 0), 1);
  EXPECT_EQ(packer.Place(1, 0), 1);  // the third document of row 1
  EXPECT_EQ(packer.Place(1, 0), 2);
  EXPECT_EQ(packer.row_count(), 3);
}

TEST(RowPackerTest, NoLimitIsNoLimit) {
  RowPacker packer({.context = 100});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(packer.Place(1, 1), 0);
  EXPECT_EQ(packer.Place(1, 1), 1);
}

TEST(RowStatisticsTest, WithoutAHistogramRowsAreFull) {
  const RowStatistics rows = ExpectedRows(WorkloadOf(64, {}), 1);
  EXPECT_EQ(rows.filled_share, 1.0);
  EXPECT_EQ(rows.kept_share, 1.0);
  EXPECT_EQ(rows.flash_pair_factor, 1.0);
}

TEST(RowStatisticsTest, DocumentsOfTheContextFillRows) {
  for (int64_t tile : {1, 128}) {
    // 64 to 64 tokens, and 600 to 600 that are cut.
    const RowStatistics rows =
        ExpectedRows(WorkloadOf(64, {{63, 0}, {64, 10}, {599, 0}, {600, 10}}), tile);
    EXPECT_DOUBLE_EQ(rows.filled_share, 1.0);
    EXPECT_DOUBLE_EQ(rows.kept_share, 128.0 / 664.0);
    EXPECT_DOUBLE_EQ(rows.flash_pair_factor, 1.0);
  }
}

TEST(RowStatisticsTest, EqualDocumentsHaveAClosedForm) {
  // Five documents of 50 tokens and six tokens of padding in a row.
  const Workload w = WorkloadOf(256, {{49, 0}, {50, 1000}});
  const RowStatistics rows = ExpectedRows(w, 1);
  EXPECT_DOUBLE_EQ(rows.filled_share, 250.0 / 256.0);
  EXPECT_DOUBLE_EQ(rows.flash_pair_factor, (5 * 50 * 51 / 2 + 6) / (256.0 * 257.0 / 2));
  // Two tiles of queries of 128: the second begins in the third document, at token 100, and so reads the tile of keys before it.
  EXPECT_DOUBLE_EQ(ExpectedRows(w, 128).flash_pair_factor, 1.0);
  // A third tile would begin at token 256 = 5 * 50 + 6.
  const Workload longer = WorkloadOf(384, {{49, 0}, {50, 1000}});
  EXPECT_DOUBLE_EQ(ExpectedRows(longer, 128).flash_pair_factor,
                   (128.0 * 128 + 128 * 256 + 128 * 256) / (128.0 * 128 + 128 * 256 + 128 * 384));
}

TEST(RowStatisticsTest, AWindowLimitsWhatLongDocumentsSee) {
  const Workload w = WorkloadOf(256, {{127, 0}, {128, 1000}});
  EXPECT_DOUBLE_EQ(ExpectedRows(w, 1, 16).flash_pair_factor,
                   2 * (16 * 17 / 2 + 112 * 16) / (16 * 17 / 2 + 240.0 * 16));
  EXPECT_DOUBLE_EQ(ExpectedRows(w, 1, 256).flash_pair_factor, ExpectedRows(w, 1).flash_pair_factor);
}

TEST(RowStatisticsTest, CapacitiesLeaveRoomUnfilled) {
  Workload w = WorkloadOf(1000, {{9, 0}, {10, 5000, 40000}});
  EXPECT_GT(ExpectedRows(w, 1).filled_share, 0.99);
  w.document_capacity = 7;
  EXPECT_NEAR(ExpectedRows(w, 1).filled_share, 0.07, 1e-3);
  w.document_capacity = 0;
  w.loss_token_capacity = 80;  // ten documents with eight to predict
  EXPECT_NEAR(ExpectedRows(w, 1).filled_share, 0.1, 1e-3);
  w.loss_token_capacity = 4;  // what a document has beyond it is not learned
  EXPECT_NEAR(ExpectedRows(w, 1).filled_share, 0.01, 1e-3);
}

TEST(RowStatisticsTest, AnswersCountTokensThatAreNotPadding) {
  Question question{.model = *FindModel("SmolLM2-135M"),
                    .workload = WorkloadOf(256, {}),
                    .devices = *ParseDeviceGroup("A100-80GB"),
                    .method = MethodChoice::kLora};
  question.workload.dataset_token_count = 1'000'000;
  const auto filled = Recommend(question);
  ASSERT_TRUE(filled.ok()) << filled.status();
  question.workload.length_histogram = {{99, 0}, {100, 10'000}};
  const auto packed = Recommend(question);
  ASSERT_TRUE(packed.ok()) << packed.status();
  const TimePrediction &a = filled->ranked[0].time, &b = packed->ranked[0].time;
  EXPECT_NEAR(b.tokens_per_second * b.step_seconds, 8 * 200.0, 1.0);
  EXPECT_NEAR(a.tokens_per_second * a.step_seconds, 8 * 256.0, 1e-6);
  EXPECT_NEAR(b.total_hours * 3600 / b.step_seconds, 1e6 / (8 * 200.0), 1.01);  // whole steps
  const auto has_note = [](const SearchResult& result, const std::string& text) {
    for (const std::string& note : result.notes) {
      if (note.find(text) != std::string::npos) return true;
    }
    return false;
  };
  EXPECT_TRUE(has_note(*filled, "Hours assume"));
  EXPECT_FALSE(has_note(*packed, "Hours assume"));
  EXPECT_TRUE(has_note(*packed, "fill 78.1 % of a row"));
}

// Of mixes that differ in the kernel alone, only flash attention gets quicker with short documents.
TEST(RowStatisticsTest, ShortDocumentsMakeFlashAttentionQuicker) {
  Question question{.model = *FindModel("SmolLM2-135M"),
                    .workload = WorkloadOf(2048, {}),
                    .devices = *ParseDeviceGroup("A100-80GB")};
  const auto step = [&](AttentionKernel attention) {
    Mix mix{.method = Method::kFull,
            .precision = Precision::kBf16,
            .attention = attention,
            .micro_batch = 8};
    mix.recompute[0] = question.model.layer_count;
    return Estimate(question, mix)->time.step_picoseconds;
  };
  const int64_t flash = step(AttentionKernel::kFlash), eager = step(AttentionKernel::kEager);
  question.workload.length_histogram = {{127, 0}, {128, 10'000}};
  EXPECT_LT(step(AttentionKernel::kFlash), flash);
  EXPECT_EQ(step(AttentionKernel::kEager), eager);
}

}  // namespace
}  // namespace tunesmith::planner
