#include "trainer/data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "common/random.h"

namespace tunesmith::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Document Learned(std::vector<int32_t> tokens) {
  Document document;
  document.loss_mask.assign(tokens.size(), 1);
  document.tokens = std::move(tokens);
  return document;
}

absl::StatusOr<Loader> Make(std::vector<Document> documents, const PackingOptions& options) {
  return Loader::Create(InMemory(std::move(documents), options.context), options);
}

std::vector<PackedDocument> Packed(const std::vector<Document>& documents) {
  std::vector<PackedDocument> packed;
  for (const Document& document : documents) {
    const auto size = static_cast<int32_t>(document.tokens.size());
    packed.push_back({static_cast<int32_t>(packed.size()), size, size - 1, 0});
  }
  return packed;
}

// Documents of 1 to 40 tokens; token t of document d is 1000 * d + t.
std::vector<Document> ManyDocuments(int32_t count) {
  std::vector<Document> documents;
  for (int32_t d = 0; d < count; ++d) {
    std::vector<int32_t> tokens(
        static_cast<size_t>(1 + RandomBelow(5, static_cast<uint64_t>(d), 40)));
    std::iota(tokens.begin(), tokens.end(), 1000 * d);
    documents.push_back(Learned(tokens));
  }
  return documents;
}

TEST(LoaderTest, ArraysOfOneBatch) {
  Document prompted = Learned({7, 8, 9});
  prompted.loss_mask = {0, 0, 1};
  auto loader = Make({Learned({1, 2, 3}), prompted, Learned({4, 5, 6, 7, 8, 9, 10, 11, 12})},
                     {.context = 8, .document_capacity = 2, .shuffles = false});
  ASSERT_TRUE(loader.ok()) << loader.status();
  EXPECT_EQ(loader->rows_in_epoch(), 2);
  EXPECT_EQ(loader->cut_document_count(), 1);
  EXPECT_EQ(loader->cut_token_count(), 1);
  EXPECT_EQ(loader->token_count(), 14);
  const Batch batch = *loader->NextBatch(2);
  EXPECT_THAT(batch.tokens, ElementsAre(1, 2, 3, 7, 8, 9, 0, 0, 4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_THAT(batch.labels, ElementsAre(2, 3, -1, -1, 9, -1, -1, -1, 5, 6, 7, 8, 9, 10, 11, -1));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 0, 1, 2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(batch.document_starts, ElementsAre(0, 0, 0, 3, 3, 3, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(batch.valid_label_count, 10);
  EXPECT_EQ(batch.token_count, 14);
  EXPECT_EQ(batch.row_count, 2);
  EXPECT_EQ(batch.context, 8);
}

TEST(LoaderTest, BatchesNameTheTokensThatAreLearned) {
  Document prompted = Learned({7, 8, 9});
  prompted.loss_mask = {0, 0, 1};
  Document prompt_only = Learned({5, 6});
  prompt_only.loss_mask = {1, 0};  // a first token has nothing before it
  auto loader =
      Make({Learned({1, 2, 3}), prompted, Learned({4, 5, 6, 7, 8}), prompt_only},
           {.context = 8, .document_capacity = 2, .loss_token_capacity = 4, .shuffles = false});
  ASSERT_TRUE(loader.ok()) << loader.status();
  EXPECT_EQ(loader->predicted_token_count(), 7);
  EXPECT_EQ(loader->masked_document_count(), 0);
  EXPECT_EQ(loader->unlearned_document_count(), 1);
  const Batch batch = *loader->NextBatchOfEpoch(3);
  EXPECT_THAT(batch.documents, ElementsAre(1, 2, 3));
  EXPECT_THAT(batch.tokens, ElementsAre(1, 2, 3, 7, 8, 9, 0, 0, 4, 5, 6, 7, 8, 0, 0, 0,  //
                                        0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(batch.loss_rows, ElementsAre(0, 1, 4, -1, 8, 9, 10, 11, -1, -1, -1, -1));
  EXPECT_THAT(batch.labels, ElementsAre(2, 3, 9, -1, 5, 6, 7, 8, -1, -1, -1, -1));
  EXPECT_EQ(batch.valid_label_count, 7);
}

// What has nothing to learn is left out, so that there is no step without a loss, whatever the order.
TEST(LoaderTest, EveryRowHasATokenToLearn) {
  std::vector<Document> documents;
  for (int32_t d = 0; d < 40; ++d) {
    documents.push_back(Learned({d, d, d, d, d, d, d, d}));
    if (d % 4 != 0) documents.back().loss_mask.assign(8, 0);
  }
  auto loader = Make(documents, {.context = 8, .seed = 3});
  ASSERT_TRUE(loader.ok()) << loader.status();
  EXPECT_EQ(loader->unlearned_document_count(), 30);
  EXPECT_EQ(loader->document_count(), 10);
  for (int i = 0; i < 25; ++i) EXPECT_EQ(loader->NextBatch(1)->valid_label_count, 7);
}

TEST(LoaderTest, TokensBeyondTheCapacityAreNotLearnedOrTheDocumentIsRepeated) {
  const std::vector<Document> documents = {Learned({1, 2, 3, 4, 5, 6}), Learned({7, 8})};
  PackingOptions options = {.context = 8, .loss_token_capacity = 2, .shuffles = false};
  auto masked = Make(documents, options);
  EXPECT_EQ(masked->masked_document_count(), 1);
  EXPECT_EQ(masked->masked_token_count(), 3);
  EXPECT_EQ(masked->predicted_token_count(), 3);
  EXPECT_THAT(masked->NextBatchOfEpoch(2)->labels, ElementsAre(2, 3, 8, -1));
  options.repeats_documents = true;
  auto repeated = Make(documents, options);
  EXPECT_EQ(repeated->masked_token_count(), 0);
  EXPECT_EQ(repeated->predicted_token_count(), 6);
  const Batch batch = *repeated->NextBatchOfEpoch(4);
  EXPECT_THAT(batch.loss_rows, ElementsAre(0, 1, 8, -1, 18, 19, 28, -1));
  EXPECT_THAT(batch.labels, ElementsAre(2, 3, 8, -1, 4, 5, 6, -1));
}

TEST(PackEpochTest, NoRowHasMoreToPredictThanItsCapacity) {
  std::vector<Document> documents = ManyDocuments(500);
  for (size_t d = 0; d < documents.size(); ++d) {
    std::vector<uint8_t>& mask = documents[d].loss_mask;
    std::fill_n(mask.begin(), mask.size() * (d % 4) / 4, 0);
  }
  for (const int64_t capacity : {1, 13, 40}) {
    auto loader =
        Make(documents, {.context = 64, .document_capacity = 64, .loss_token_capacity = capacity});
    ASSERT_TRUE(loader.ok()) << loader.status();
    int64_t predicted = 0;
    for (Batch batch = *loader->NextBatchOfEpoch(1); batch.row_count > 0;
         batch = *loader->NextBatchOfEpoch(1)) {
      ASSERT_EQ(static_cast<int64_t>(batch.loss_rows.size()), capacity);
      ASSERT_LE(batch.valid_label_count, capacity);
      EXPECT_EQ(std::count(batch.loss_rows.begin(), batch.loss_rows.end(), -1),
                capacity - batch.valid_label_count);
      predicted += batch.valid_label_count;
    }
    EXPECT_EQ(predicted, loader->predicted_token_count());
    EXPECT_EQ(loader->masked_document_count() > 0, capacity < 39);
  }
}

TEST(PackEpochTest, EveryDocumentOnceWithinRoomAndCapacity) {
  const std::vector<Document> documents = ManyDocuments(500);
  int64_t token_count = 0;
  for (const Document& document : documents)
    token_count += static_cast<int64_t>(document.tokens.size());
  for (const int64_t capacity : {1, 3, 1000}) {
    const PackingOptions options = {.context = 64, .document_capacity = capacity, .seed = 9};
    std::vector<int32_t> seen;
    const auto rows = PackEpoch(Packed(documents), options, 2);
    for (const RowDocuments& row : rows) {
      int64_t tokens = 0;
      for (const int32_t id : row)
        tokens += static_cast<int64_t>(documents[static_cast<size_t>(id)].tokens.size());
      EXPECT_LE(tokens, 64);
      EXPECT_LE(static_cast<int64_t>(row.size()), capacity);
      seen.insert(seen.end(), row.begin(), row.end());
    }
    std::sort(seen.begin(), seen.end());
    std::vector<int32_t> all(500);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(seen, all);
    // About 10000 tokens; rows of 64 must be nearly full when the capacity does not bind.
    if (capacity == 1000) {
      EXPECT_LT(static_cast<int64_t>(rows.size()) * 64, token_count * 103 / 100 + 64);
    }
  }
}

TEST(PackEpochTest, OrderIsOfSeedAndEpoch) {
  const std::vector<Document> documents = ManyDocuments(50);
  PackingOptions options = {.context = 64, .document_capacity = 8, .seed = 1};
  EXPECT_EQ(PackEpoch(Packed(documents), options, 0), PackEpoch(Packed(documents), options, 0));
  EXPECT_NE(PackEpoch(Packed(documents), options, 0), PackEpoch(Packed(documents), options, 1));
  const auto first = PackEpoch(Packed(documents), options, 0);
  options.seed = 2;
  EXPECT_NE(PackEpoch(Packed(documents), options, 0), first);
}

TEST(LoaderTest, ResumesExactlyAcrossEpochs) {
  const PackingOptions options = {.context = 64, .document_capacity = 4, .seed = 3};
  auto straight = Make(ManyDocuments(40), options);
  std::vector<std::vector<int32_t>> tokens;
  for (int i = 0; i < 30; ++i) {
    auto resumed = Make(ManyDocuments(40), options);
    ASSERT_TRUE(resumed->Restore(straight->state()).ok());
    const Batch batch = *straight->NextBatch(3);
    EXPECT_EQ(resumed->NextBatch(3)->tokens, batch.tokens);
    EXPECT_EQ(resumed->state(), straight->state());
    tokens.push_back(batch.tokens);
  }
  EXPECT_GT(straight->state().epoch, 1);
}

std::vector<int32_t> Joined(const std::vector<Batch>& batches) {
  std::vector<int32_t> all;
  for (const Batch& batch : batches)
    all.insert(all.end(), batch.tokens.begin(), batch.tokens.end());
  return all;
}

TEST(LoaderTest, RanksShareTheRowsOfOneRankInItsOrder) {
  const PackingOptions options{.context = 64, .document_capacity = 4, .seed = 3};
  for (const int64_t size : {1, 2, 3}) {
    auto alone = Make(ManyDocuments(40), options);
    std::vector<absl::StatusOr<Loader>> ranks;
    for (int64_t rank = 0; rank < size; ++rank) ranks.push_back(Make(ManyDocuments(40), options));
    for (int call = 0; call < 30; ++call) {
      std::vector<Batch> parts;
      for (int64_t rank = 0; rank < size; ++rank)
        parts.push_back(*ranks[static_cast<size_t>(rank)]->NextBatch(2, {rank, size}));
      EXPECT_EQ(Joined(parts), alone->NextBatch(2 * size)->tokens);
      for (const auto& rank : ranks) EXPECT_EQ(rank->state(), alone->state());
    }
    EXPECT_GT(alone->state().epoch, 1);
  }
}

TEST(LoaderTest, AnEvaluationEpochEndsOnAllRanksAtOnce) {
  const PackingOptions options{.context = 64, .document_capacity = 4, .shuffles = false};
  auto alone = Make(ManyDocuments(40), options);
  const std::vector<int32_t> expected = alone->NextBatchOfEpoch(alone->rows_in_epoch())->tokens;
  for (const int64_t size : {2, 3, 5}) {
    std::vector<absl::StatusOr<Loader>> ranks;
    for (int64_t rank = 0; rank < size; ++rank) ranks.push_back(Make(ManyDocuments(40), options));
    std::vector<Batch> parts;
    for (bool ended = false; !ended;) {
      for (int64_t rank = 0; rank < size; ++rank) {
        const Batch batch = *ranks[static_cast<size_t>(rank)]->NextBatchOfEpoch(3, {rank, size});
        if (rank == 0) ended = batch.row_count == 0;
        EXPECT_EQ(batch.row_count, ended ? 0 : 3);
        if (!ended) parts.push_back(batch);
      }
    }
    std::vector<int32_t> tokens = Joined(parts);
    EXPECT_EQ(parts.size() % static_cast<size_t>(size), 0u);
    ASSERT_GE(tokens.size(), expected.size());
    EXPECT_TRUE(std::all_of(tokens.begin() + static_cast<int64_t>(expected.size()), tokens.end(),
                            [](int32_t token) { return token == 0; }));
    tokens.resize(expected.size());
    EXPECT_EQ(tokens, expected);
  }
}

TEST(LoaderTest, AnEvaluationEpochHoldsEveryLabelOnceAndEnds) {
  auto loader = Make(ManyDocuments(40), {.context = 64, .document_capacity = 4, .shuffles = false});
  int64_t expected = 0;
  for (const Document& document : ManyDocuments(40))
    expected += static_cast<int64_t>(document.tokens.size()) - 1;
  int64_t labels = 0;
  int64_t batches = 0;
  for (Batch batch = *loader->NextBatchOfEpoch(4); batch.row_count > 0;
       batch = *loader->NextBatchOfEpoch(4)) {
    EXPECT_EQ(batch.tokens.size(), 4u * 64u);
    labels += batch.valid_label_count;
    ++batches;
  }
  EXPECT_EQ(labels, expected);
  EXPECT_EQ(batches, (loader->rows_in_epoch() + 3) / 4);
  EXPECT_EQ(loader->NextBatchOfEpoch(4)->row_count, 0);
  loader->StartEpoch(0);
  EXPECT_EQ(loader->NextBatchOfEpoch(4)->row_count, 4);
}

TEST(LoaderTest, LongDocumentsAreCutOrDroppedAndCounted) {
  const std::vector<Document> documents = {Learned({1, 2, 3, 4, 5, 6}), Learned({7, 8})};
  PackingOptions options = {.context = 4, .shuffles = false};
  auto cut = Make(documents, options);
  EXPECT_EQ(cut->cut_document_count(), 1);
  EXPECT_EQ(cut->cut_token_count(), 2);
  EXPECT_EQ(cut->document_count(), 2);
  options.drops_long_documents = true;
  auto dropped = Make(documents, options);
  EXPECT_EQ(dropped->dropped_document_count(), 1);
  EXPECT_EQ(dropped->cut_document_count(), 0);
  EXPECT_EQ(dropped->document_count(), 1);
  EXPECT_THAT(dropped->NextBatch(1)->tokens, ElementsAre(7, 8, 0, 0));
  EXPECT_THAT(std::string(Make({documents[0]}, options).status().message()),
              HasSubstr("all 1 documents are longer than the context of 4 tokens"));
}

TEST(LoaderTest, BadInputIsNamed) {
  const auto message = [](std::vector<Document> documents, const PackingOptions& options) {
    return std::string(Make(std::move(documents), options).status().message());
  };
  EXPECT_THAT(message({}, {.context = 8}), HasSubstr("no documents"));
  EXPECT_THAT(message({Learned({1, 2})}, {.context = 1}), HasSubstr("context(1) < 2"));
  EXPECT_THAT(message({Learned({1, 2})}, {.context = 8, .document_capacity = 0}),
              HasSubstr("document_capacity(0) < 1"));
  for (const int64_t capacity : {-1, 9}) {
    EXPECT_THAT(message({Learned({1, 2})}, {.context = 8, .loss_token_capacity = capacity}),
                HasSubstr("loss_token_capacity(" + std::to_string(capacity) + ") is not in 0"));
  }
  Document prompt_only = Learned({1, 2, 3});
  prompt_only.loss_mask = {0, 0, 1};
  EXPECT_THAT(message({prompt_only}, {.context = 2}),
              HasSubstr("no document has a token to learn"));
  auto loader = Make({Learned({1, 2})}, {.context = 8, .seed = 4});
  EXPECT_FALSE(loader->Restore({.epoch = 0, .next_row = 0, .seed = 5}).ok());
  EXPECT_FALSE(loader->Restore({.epoch = 0, .next_row = 9, .seed = 4}).ok());
  EXPECT_TRUE(loader->Restore({.epoch = 3, .next_row = 1, .seed = 4}).ok());
}

}  // namespace
}  // namespace tunesmith::trainer
