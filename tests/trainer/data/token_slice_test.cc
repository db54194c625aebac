#include "trainer/data/token_slice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tunesmith::trainer {
namespace {

using ::testing::ElementsAre;

// Two rows of six tokens, three documents, of which the second and the third begin in the middle of a row.
Batch TwoRows() {
  return {.row_count = 2,
          .context = 6,
          .tokens = {10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25},
          .positions = {0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4, 0},
          .document_starts = {0, 0, 0, 3, 3, 3, 0, 0, 0, 0, 0, 5},
          .labels = {11, 12, -1, 14, 15, -1, 21, -1, -1, 24, -1, -1}};
}

TEST(TokenSlice, HasItsTokensAndKnowsAllDocuments) {
  const Batch batch = TwoRows();
  const TokenSlice slice = SliceOf(batch, 1, 4, 4);
  EXPECT_THAT(slice.tokens, ElementsAre(14, 15, 20, 21));
  EXPECT_THAT(slice.positions, ElementsAre(1, 2, 0, 1));
  EXPECT_EQ(slice.document_starts, batch.document_starts);
  EXPECT_THAT(slice.labels, ElementsAre(15, -1, 21, -1));
  EXPECT_TRUE(slice.loss_rows.empty());
  EXPECT_EQ(slice.valid_label_count, 2);
}

TEST(TokenSlice, NamesItsOwnRowsOfTheLoss) {
  Batch batch = TwoRows();
  batch.loss_rows = {0, 1, 4, 6, 9, -1};
  batch.labels = {11, 12, 15, 21, 24, -1};
  const TokenSlice first = SliceOf(batch, 0, 6, 5), second = SliceOf(batch, 1, 6, 5);
  EXPECT_THAT(first.loss_rows, ElementsAre(0, 1, 4, -1, -1));
  EXPECT_THAT(first.labels, ElementsAre(11, 12, 15, -1, -1));
  EXPECT_THAT(second.loss_rows, ElementsAre(0, 3, -1, -1, -1));
  EXPECT_THAT(second.labels, ElementsAre(21, 24, -1, -1, -1));
  EXPECT_EQ(first.valid_label_count + second.valid_label_count, 5);
}

// As many labels as tokens: none needs to be named.
TEST(TokenSlice, SpreadsNamedLabelsOverASmallSlice) {
  Batch batch = TwoRows();
  batch.loss_rows = {0, 1, 4, 6, 9, -1};
  batch.labels = {11, 12, 15, 21, 24, -1};
  const TokenSlice slice = SliceOf(batch, 1, 4, 4);
  EXPECT_TRUE(slice.loss_rows.empty());
  EXPECT_THAT(slice.labels, ElementsAre(15, -1, 21, -1));
}

TEST(TokenSlice, OfOneRankIsTheBatchAsItIs) {
  Batch batch = TwoRows();
  batch.loss_rows = {0, -1, 6, 9};
  batch.labels = {11, -1, 21, 24};
  const TokenSlice slice = SliceOf(batch, 0, 12, 4);
  EXPECT_EQ(slice.tokens, batch.tokens);
  EXPECT_EQ(slice.loss_rows, batch.loss_rows);
  EXPECT_EQ(slice.labels, batch.labels);
  EXPECT_EQ(slice.valid_label_count, 3);
}

TEST(TokenSlice, MayHaveNothingToPredict) {
  Batch batch = TwoRows();
  EXPECT_EQ(SliceOf(batch, 5, 2, 2).valid_label_count, 0);
}

}  // namespace
}  // namespace tunesmith::trainer
