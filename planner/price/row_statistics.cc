#include "planner/price/row_statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "common/random.h"
#include "planner/model/row_packer.h"

namespace tunesmith::planner {
namespace {

// A bin is taken as so many lengths, evenly spread.
constexpr int64_t kStrataPerBin = 8;
// Enough for a share that is stable to some thousandths, few enough for a millisecond.
constexpr int64_t kLeastSample = 4096;
constexpr int64_t kMostSample = 16384;
constexpr double kSampledRows = 512;
constexpr uint64_t kShuffleKey = 17;

struct SizedDocuments {
  double count = 0;
  double size = 0;       // tokens, before cutting
  double predicted = 0;  // of which to be learned
};

std::vector<SizedDocuments> StrataOf(const LengthHistogram& histogram) {
  std::vector<SizedDocuments> strata;
  int64_t below = 0;
  for (const LengthBin& bin : histogram) {
    const auto lowest = static_cast<double>(below + 1),
               highest = static_cast<double>(bin.upper_edge);
    below = bin.upper_edge;
    if (bin.document_count == 0) continue;
    const auto count = static_cast<double>(bin.document_count);
    const double tokens = count * (lowest + highest) / 2;
    const double share = std::min(1.0, static_cast<double>(bin.predicted_token_count) / tokens);
    for (int64_t s = 0; s < kStrataPerBin; ++s) {
      const double size = lowest + (highest - lowest) * (static_cast<double>(s) + 0.5) /
                                       static_cast<double>(kStrataPerBin);
      strata.push_back({count / static_cast<double>(kStrataPerBin), size, share * size});
    }
  }
  return strata;
}

double CutSize(const SizedDocuments& d, const Workload& workload) {
  return std::min(d.size, static_cast<double>(workload.context));
}

template <typename Of>
double SumOver(const std::vector<SizedDocuments>& strata, Of of) {
  return std::accumulate(strata.begin(), strata.end(), 0.0, [&](double sum, const auto& stratum) {
    return sum + stratum.count * of(stratum);
  });
}

struct Document {
  int64_t size = 0;
  int64_t predicted = 0;
};

// As the packer sees a document: cut at its end, where the completion is, and with no more to predict than a row may have.
Document Seen(const SizedDocuments& d, const Workload& workload) {
  const double size = CutSize(d, workload), predicted = d.predicted - (d.size - size);
  int64_t count = std::max<int64_t>(0, std::llround(predicted));
  if (workload.loss_token_capacity > 0) count = std::min(count, workload.loss_token_capacity);
  return {.size = std::max<int64_t>(1, std::llround(size)), .predicted = count};
}

int64_t SampleCount(double document_count, double mean_size, const Workload& workload) {
  const double wanted = kSampledRows * static_cast<double>(workload.context) / mean_size;
  const double sample =
      std::clamp(wanted, static_cast<double>(kLeastSample), static_cast<double>(kMostSample));
  return std::llround(std::min(document_count, sample));
}

// `count` documents at evenly spaced quantiles, shuffled.
std::vector<Document> Sample(const std::vector<SizedDocuments>& strata, double document_count,
                             int64_t count, const Workload& workload) {
  std::vector<Document> documents;
  size_t at = 0;
  double passed = strata[0].count;
  for (int64_t i = 0; i < count; ++i) {
    const double quantile =
        (static_cast<double>(i) + 0.5) / static_cast<double>(count) * document_count;
    while (passed < quantile && at + 1 < strata.size()) passed += strata[++at].count;
    documents.push_back(Seen(strata[at], workload));
  }
  for (size_t i = documents.size(); i > 1; --i) {
    const int64_t other = RandomBelow(kShuffleKey, i, static_cast<int64_t>(i));
    std::swap(documents[i - 1], documents[static_cast<size_t>(other)]);
  }
  return documents;
}

using Row = std::vector<int64_t>;  // sizes of its documents

std::vector<Row> Pack(const std::vector<Document>& documents, const Workload& workload) {
  RowPacker packer({.context = workload.context,
                    .document_capacity = workload.document_capacity,
                    .loss_token_capacity = workload.loss_token_capacity});
  std::vector<Row> rows;
  for (const Document& d : documents) {
    const auto row = static_cast<size_t>(packer.Place(d.size, d.predicted));
    if (row == rows.size()) rows.emplace_back();
    rows[row].push_back(d.size);
  }
  return rows;
}

// Pairs that are seen within one document.
double SeenPairs(int64_t size, int64_t window) {
  const auto n = static_cast<double>(size), w = static_cast<double>(window);
  return window == 0 || size <= window ? n * (n + 1) / 2 : w * (w + 1) / 2 + (n - w) * w;
}

double SeenPairs(const Row& row, int64_t context, int64_t window) {
  double pairs = 0;
  int64_t padding = context;
  for (int64_t size : row) pairs += SeenPairs(size, window), padding -= size;
  return pairs + static_cast<double>(padding);
}

// Pairs that the tiles of queries of one row form with keys. Padding sees itself.
double FormedPairs(const Row& row, int64_t context, int64_t tile, int64_t window) {
  if (tile == 1) return SeenPairs(row, context, window);
  double pairs = 0;
  size_t next = 0;             // the first document behind `start`'s
  int64_t start = 0, end = 0;  // of the document that the tile's first query is in
  for (int64_t query = 0; query < context; query += tile) {
    while (query >= end && next < row.size()) start = end, end += row[next++];
    int64_t first_key = query >= end ? query : start;
    if (window > 0) first_key = std::max(first_key, query - window + 1);
    const int64_t query_end = std::min(context, query + tile);
    pairs += static_cast<double>(query_end - query) *
             static_cast<double>(query_end - first_key / tile * tile);
  }
  return pairs;
}

// Pairs that are formed in these rows, over those in as many that one document fills.
double PairFactor(const std::vector<Row>& rows, int64_t context, int64_t tile, int64_t window) {
  double pairs = 0;
  for (const Row& row : rows) pairs += FormedPairs(row, context, tile, window);
  return pairs / (static_cast<double>(rows.size()) * FormedPairs({context}, context, tile, window));
}

}  // namespace

RowStatistics ExpectedRows(const Workload& workload, int64_t tile, int64_t window) {
  const std::vector<SizedDocuments> strata = StrataOf(workload.length_histogram);
  if (strata.empty()) return {};
  const auto cut_size = [&](const SizedDocuments& d) { return CutSize(d, workload); };
  const double document_count = SumOver(strata, [](const auto&) { return 1.0; }),
               token_count = SumOver(strata, [](const auto&d) { return d.size; }),
               kept_count = SumOver(strata, cut_size);
  const int64_t sample_count = SampleCount(document_count, kept_count / document_count, workload);
  const std::vector<Row> rows =
      Pack(Sample(strata, document_count, sample_count, workload), workload);
  double filled = 0;
  for (const Row& row : rows)
    filled += static_cast<double>(std::accumulate(row.begin(), row.end(), int64_t{0}));
  const auto row_count = static_cast<double>(rows.size());
  const double full_factor = PairFactor(rows, workload.context, tile, 0);
  return {.filled_share = filled / (row_count * static_cast<double>(workload.context)),
          .kept_share = kept_count / token_count,
          .flash_pair_factor =
              window == 0 ? full_factor : PairFactor(rows, workload.context, tile, window),
          .full_pair_factor = full_factor};
}

}  // namespace tunesmith::planner
