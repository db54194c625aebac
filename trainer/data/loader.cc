#include "trainer/data/loader.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <utility>

#include "common/random.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

constexpr size_t kOpenRowCount = 64;  // bounds the search for room; more fills rows hardly better

int64_t CutSize(const Document& document, int64_t context) {
  return std::min(static_cast<int64_t>(document.tokens.size()), context);
}

// Fisher and Yates, with one keyed random number per place.
std::vector<int32_t> DocumentOrder(size_t count, const PackingOptions& options, int64_t epoch) {
  std::vector<int32_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  if (!options.shuffles) return order;
  const uint64_t key = RandomKey(RandomKey(options.seed, "shuffle"), static_cast<uint64_t>(epoch));
  for (size_t i = count; i > 1; --i) {
    std::swap(order[i - 1],
              order[static_cast<size_t>(RandomBelow(key, i, static_cast<int64_t>(i)))]);
  }
  return order;
}

struct OpenRow {
  size_t row = 0;  // index into the result
  int64_t room = 0;
};

// Writes one document into a row at `begin`; returns the count of its labels. REQUIRES: it fits.
int64_t WriteDocument(const Document& document, int64_t size, size_t row_begin, size_t begin,
                      Batch* batch) {
  int64_t label_count = 0;
  for (int64_t i = 0; i < size; ++i) {
    const auto source = static_cast<size_t>(i);
    const size_t at = row_begin + begin + source;
    batch->tokens[at] = document.tokens[source];
    batch->positions[at] = static_cast<int32_t>(i);
    batch->document_starts[at] = static_cast<int32_t>(begin);
    if (i + 1 < size && document.loss_mask[source + 1] != 0) {
      batch->labels[at] = document.tokens[source + 1];
      ++label_count;
    }
  }
  return label_count;
}

// Rows of padding, where every token attends to itself alone.
Batch EmptyBatch(int64_t row_count, int64_t context) {
  Batch batch;
  batch.row_count = row_count;
  batch.context = context;
  const auto size = static_cast<size_t>(row_count * context);
  batch.tokens.assign(size, 0);
  batch.labels.assign(size, -1);
  batch.positions.assign(size, 0);
  batch.document_starts.resize(size);
  for (size_t i = 0; i < size; ++i)
    batch.document_starts[i] = static_cast<int32_t>(i % static_cast<size_t>(context));
  return batch;
}

void FillRow(const std::vector<Document>& documents, const RowDocuments& row, int64_t index,
             Batch* batch) {
  const auto row_begin = static_cast<size_t>(index * batch->context);
  size_t begin = 0;
  for (const int32_t id : row) {
    const Document& document = documents[static_cast<size_t>(id)];
    const int64_t size = CutSize(document, batch->context);
    batch->valid_label_count += WriteDocument(document, size, row_begin, begin, batch);
    begin += static_cast<size_t>(size);
  }
}

bool HasLabel(const Document& document, int64_t context) {
  const int64_t size = CutSize(document, context);
  return size > 1 && std::any_of(document.loss_mask.begin() + 1, document.loss_mask.begin() + size,
                                 [](uint8_t m) { return m != 0; });
}

}  // namespace

std::vector<RowDocuments> PackEpoch(const std::vector<Document>& documents,
                                    const PackingOptions& options, int64_t epoch) {
  std::vector<RowDocuments> rows;
  std::deque<OpenRow> open;  // oldest first
  for (const int32_t id : DocumentOrder(documents.size(), options, epoch)) {
    const int64_t size = CutSize(documents[static_cast<size_t>(id)], options.context);
    auto at = std::find_if(open.begin(), open.end(),
                           [&](const OpenRow& row) { return row.room >= size; });
    if (at == open.end()) {
      if (open.size() == kOpenRowCount) open.pop_front();
      open.push_back({rows.size(), options.context});
      rows.emplace_back();
      at = open.end() - 1;
    }
    RowDocuments& row = rows[at->row];
    row.push_back(id);
    at->room -= size;
    if (at->room == 0 || static_cast<int64_t>(row.size()) == options.document_capacity)
      open.erase(at);
  }
  return rows;
}

Loader::Loader(std::vector<Document> documents, const PackingOptions& options)
    : documents_(std::move(documents)), options_(options) {
  for (const Document& document : documents_) {
    const int64_t size = CutSize(document, options_.context);
    const int64_t cut = static_cast<int64_t>(document.tokens.size()) - size;
    token_count_ += size;
    cut_token_count_ += cut;
    if (cut > 0) ++cut_document_count_;
  }
  StartEpoch(0);
}

absl::StatusOr<Loader> Loader::Create(std::vector<Document> documents,
                                      const PackingOptions& options) {
  if (documents.empty()) return absl::InvalidArgumentError("the data set has no documents");
  if (options.context < 2) {
    return absl::InvalidArgumentError(
        StrCat("context(", options.context, ") < 2: no token could be predicted"));
  }
  if (options.document_capacity < 1) {
    return absl::InvalidArgumentError(
        StrCat("document_capacity(", options.document_capacity, ") < 1"));
  }
  const auto has_label = [&](const Document& document) {
    return HasLabel(document, options.context);
  };
  if (std::none_of(documents.begin(), documents.end(), has_label)) {
    return absl::InvalidArgumentError(
        StrCat("no document has a token to learn within the context of ", options.context,
               " tokens; raise the context or shorten the prompts"));
  }
  return Loader(std::move(documents), options);
}

void Loader::StartEpoch(int64_t epoch) {
  epoch_ = epoch;
  next_row_ = 0;
  rows_ = PackEpoch(documents_, options_, epoch);
}

const RowDocuments& Loader::TakeRow() {
  if (next_row_ == rows_in_epoch()) StartEpoch(epoch_ + 1);
  return rows_[static_cast<size_t>(next_row_++)];
}

void Loader::SkipRows(int64_t row_count) {
  for (int64_t i = 0; i < row_count; ++i) TakeRow();
}

Batch Loader::NextBatch(int64_t row_count) {
  Batch batch = EmptyBatch(row_count, options_.context);
  for (int64_t i = 0; i < row_count; ++i) FillRow(documents_, TakeRow(), i, &batch);
  return batch;
}

Batch Loader::NextBatchOfEpoch(int64_t row_count) {
  const int64_t available = std::min(row_count, rows_in_epoch() - next_row_);
  if (available == 0) return EmptyBatch(0, options_.context);
  Batch batch = EmptyBatch(row_count, options_.context);
  for (int64_t i = 0; i < available; ++i) FillRow(documents_, TakeRow(), i, &batch);
  return batch;
}

absl::Status Loader::Restore(const LoaderState& state) {
  if (state.seed != options_.seed || state.epoch < 0) {
    return absl::FailedPreconditionError(StrCat("the saved state of the data has seed ", state.seed,
                                                " and epoch ", state.epoch, ", this run has seed ",
                                                options_.seed));
  }
  StartEpoch(state.epoch);
  if (state.next_row < 0 || state.next_row > rows_in_epoch()) {
    return absl::FailedPreconditionError(
        StrCat("the saved state of the data is at row ", state.next_row, " of an epoch that has ",
               rows_in_epoch(), " rows; the data set or the context has changed since"));
  }
  next_row_ = state.next_row;
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer
