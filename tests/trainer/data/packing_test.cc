#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "common/random.h"
#include "planner/price/row_statistics.h"
#include "trainer/data/loader.h"

// What the planner expects of packing against what the trainer's packer does.
namespace tunesmith::trainer {
namespace {

using LengthOf = std::function<int64_t(uint64_t document)>;

struct Lengths {
  const char* name;
  LengthOf of;
};

const std::vector<Lengths>& AllLengths() {
  static const auto* const all = new std::vector<Lengths>{
      {"short", [](uint64_t d) { return 5 + RandomBelow(1, d, 60); }},
      {"even", [](uint64_t d) { return 1 + RandomBelow(2, d, 1024); }},
      {"large", [](uint64_t d) { return 400 + RandomBelow(3, d, 400); }},
      {"skewed",
       [](uint64_t d) { return 1 + static_cast<int64_t>(std::exp(5.0 + RandomNormal(4, d))); }},
      {"two kinds",
       [](uint64_t d) {
         return RandomBelow(5, d, 4) == 0 ? 900 + RandomBelow(6, d, 600)
                                          : 20 + RandomBelow(7, d, 60);
       }},
  };
  return *all;
}

// The last `predicted_share` of each document is learned.
std::vector<Document> MakeDocuments(const Lengths& lengths, uint64_t count,
                                    double predicted_share) {
  std::vector<Document> documents(count);
  for (uint64_t d = 0; d < count; ++d) {
    const auto size = static_cast<size_t>(lengths.of(d));
    documents[d].tokens.assign(size, 1);
    documents[d].loss_mask.assign(size, 0);
    for (size_t i = 0; i < size; ++i)
      documents[d].loss_mask[i] =
          static_cast<double>(size - i) <= predicted_share * static_cast<double>(size) ? 1 : 0;
  }
  return documents;
}

constexpr double kBinsPerOctave = 8;

// The first bin whose edge is not below `size`.
int64_t BinOf(int64_t size) {
  const auto edge = [](int64_t b) {
    return std::llround(std::exp2(static_cast<double>(b) / kBinsPerOctave));
  };
  auto b = static_cast<int64_t>(kBinsPerOctave * std::log2(static_cast<double>(size)));
  while (edge(b) < size) ++b;
  while (b > 0 && edge(b - 1) >= size) --b;
  return b;
}

// Bins whose edges grow by an eighth of an octave, as the client's.
planner::LengthHistogram HistogramOf(const std::vector<Document>& documents) {
  std::map<int64_t, planner::LengthBin> bins;
  for (const Document& document : documents) {
    planner::LengthBin& bin = bins[BinOf(static_cast<int64_t>(document.tokens.size()))];
    ++bin.document_count;
    bin.predicted_token_count +=
        PredictedCount(document, static_cast<int64_t>(document.tokens.size()));
  }
  planner::LengthHistogram histogram;
  for (int64_t b = 0; b <= bins.rbegin()->first; ++b) {
    planner::LengthBin bin = bins.count(b) > 0 ? bins.at(b) : planner::LengthBin();
    bin.upper_edge = std::llround(std::exp2(static_cast<double>(b) / kBinsPerOctave));
    if (histogram.empty() || bin.upper_edge > histogram.back().upper_edge) histogram.push_back(bin);
  }
  return histogram;
}

std::vector<PackedDocument> SizesOf(const std::vector<Document>& documents, int64_t context) {
  std::vector<PackedDocument> sizes;
  for (const Document& document : documents) {
    const auto size = std::min<int64_t>(context, static_cast<int64_t>(document.tokens.size()));
    sizes.push_back({static_cast<int32_t>(sizes.size()), static_cast<int32_t>(size), 0, 0});
  }
  return sizes;
}

struct Packed {
  double filled_share = 0;
  double pair_factor = 0;  // pairs that are seen over those of rows that one document fills
};

Packed PackAll(const std::vector<Document>& documents, const PackingOptions& options) {
  const std::vector<RowDocuments> rows = PackEpoch(SizesOf(documents, options.context), options, 0);
  const auto context = static_cast<double>(options.context);
  double filled = 0, pairs = 0;
  for (const RowDocuments& row : rows) {
    double room = context;
    for (const int32_t id : row) {
      const double size =
          std::min(context, static_cast<double>(documents[static_cast<size_t>(id)].tokens.size()));
      room -= size;
      pairs += size * (size + 1) / 2;
    }
    filled += context - room;
    pairs += room;
  }
  const auto row_count = static_cast<double>(rows.size());
  return {filled / (row_count * context), pairs / (row_count * context * (context + 1) / 2)};
}

TEST(PackingTest, ThePlannerExpectsWhatThePackerDoes) {
  for (const Lengths& lengths : AllLengths()) {
    for (const uint64_t count : {300u, 30000u}) {
      const std::vector<Document> documents = MakeDocuments(lengths, count, 0.5);
      for (const int64_t document_capacity : {1024, 4}) {
        planner::Workload workload = {.context = 1024,
                                      .rows_per_step = 8,
                                      .document_capacity = document_capacity,
                                      .length_histogram = HistogramOf(documents)};
        const planner::RowStatistics expected = planner::ExpectedRows(workload, 1);
        const Packed packed = PackAll(
            documents, {.context = 1024, .document_capacity = document_capacity, .seed = 3});
        const std::string what = std::string(lengths.name) + " x " + std::to_string(count) +
                                 ", at most " + std::to_string(document_capacity);
        EXPECT_NEAR(expected.filled_share, packed.filled_share, 0.03 * packed.filled_share) << what;
        EXPECT_NEAR(expected.flash_pair_factor, packed.pair_factor, 0.05 * packed.pair_factor)
            << what;
      }
    }
  }
}

TEST(PackingTest, ThePlannerExpectsWhatACapacityOfPredictedTokensLeaves) {
  for (const Lengths& lengths : AllLengths()) {
    const std::vector<Document> documents = MakeDocuments(lengths, 30000, 0.5);
    for (const int64_t capacity : {600, 1000}) {
      planner::Workload workload = {.context = 1024,
                                    .rows_per_step = 8,
                                    .loss_token_capacity = capacity,
                                    .length_histogram = HistogramOf(documents)};
      const planner::RowStatistics expected = planner::ExpectedRows(workload, 1);
      auto loader = Loader::Create(
          InMemory(documents, 1024),
          {.context = 1024, .document_capacity = 1024, .loss_token_capacity = capacity, .seed = 3});
      ASSERT_TRUE(loader.ok()) << loader.status();
      const double filled = static_cast<double>(loader->token_count()) /
                            static_cast<double>(loader->rows_in_epoch() * 1024);
      EXPECT_NEAR(expected.filled_share, filled, 0.03 * filled) << lengths.name << " " << capacity;
    }
  }
}

}  // namespace
}  // namespace tunesmith::trainer
