#include "trainer/data/loader.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "common/random.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/model/row_packer.h"

namespace tunesmith::trainer {
namespace {

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

// Where the labels of a row go.
class LabelWriter {
 public:
  LabelWriter(int64_t row, int64_t capacity, Batch* batch)
      : batch_(*batch), next_(static_cast<size_t>(row * capacity)) {}

  void Write(size_t at, int32_t label) {
    ++batch_.valid_label_count;
    if (batch_.loss_rows.empty()) {
      batch_.labels[at] = label;
      return;
    }
    batch_.loss_rows[next_] = static_cast<int32_t>(at);
    batch_.labels[next_++] = label;
  }

 private:
  Batch& batch_;
  size_t next_;
};

// Writes one document into a row at `begin`. REQUIRES: it fits.
void WriteDocument(const Document& document, int64_t size, size_t row_begin, size_t begin,
                   Batch* batch, LabelWriter& labels) {
  for (int64_t i = 0; i < size; ++i) {
    const auto source = static_cast<size_t>(i);
    const size_t at = row_begin + begin + source;
    batch->tokens[at] = document.tokens[source];
    batch->positions[at] = static_cast<int32_t>(i);
    batch->document_starts[at] = static_cast<int32_t>(begin);
    if (i + 1 < size && document.loss_mask[source + 1] != 0)
      labels.Write(at, document.tokens[source + 1]);
  }
}

// Rows of padding, where every token attends to itself alone.
Batch EmptyBatch(int64_t row_count, const PackingOptions& options) {
  const int64_t context = options.context;
  Batch batch;
  batch.row_count = row_count;
  batch.context = context;
  const auto size = static_cast<size_t>(row_count * context);
  batch.tokens.assign(size, 0);
  if (options.loss_token_capacity > 0)
    batch.loss_rows.assign(static_cast<size_t>(row_count * options.loss_token_capacity), -1);
  batch.labels.assign(options.loss_token_capacity > 0 ? batch.loss_rows.size() : size, -1);
  batch.positions.assign(size, 0);
  batch.document_starts.resize(size);
  for (size_t i = 0; i < size; ++i)
    batch.document_starts[i] = static_cast<int32_t>(i % static_cast<size_t>(context));
  return batch;
}

absl::Status CheckOptions(const PackingOptions& options) {
  if (options.context < 2) {
    return absl::InvalidArgumentError(
        StrCat("context(", options.context, ") < 2: no token could be predicted"));
  }
  if (options.document_capacity < 1) {
    return absl::InvalidArgumentError(
        StrCat("document_capacity(", options.document_capacity, ") < 1"));
  }
  if (options.loss_token_capacity < 0 || options.loss_token_capacity > options.context) {
    return absl::InvalidArgumentError(StrCat("loss_token_capacity(", options.loss_token_capacity,
                                             ") is not in 0 to context(", options.context, ")"));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<RowDocuments> PackEpoch(const std::vector<PackedDocument>& documents,
                                    const PackingOptions& options, int64_t epoch) {
  planner::RowPacker packer({.context = options.context,
                             .document_capacity = options.document_capacity,
                             .loss_token_capacity = options.loss_token_capacity});
  std::vector<RowDocuments> rows;
  for (const int32_t id : DocumentOrder(documents.size(), options, epoch)) {
    const PackedDocument& document = documents[static_cast<size_t>(id)];
    const int64_t predicted = options.loss_token_capacity > 0 ? document.predicted_count : 0;
    const auto row = static_cast<size_t>(packer.Place(document.size, predicted));
    if (row == rows.size()) rows.emplace_back();
    rows[row].push_back(id);
  }
  return rows;
}

Loader::Loader(std::shared_ptr<const DocumentSource> source, const PackingOptions& options)
    : source_(std::move(source)), options_(options) {
  AddDocuments();
  StartEpoch(0);
}

void Loader::AddDocuments() {
  for (int64_t i = 0; i < source_->document_count(); ++i) {
    const DocumentSize size = source_->SizeOf(i);
    if (size.token_count > options_.context && options_.drops_long_documents) {
      ++dropped_document_count_;
    } else {
      AddDocument(i, size);
    }
  }
  if (!options_.repeats_documents || options_.loss_token_capacity == 0) return;
  // The repeats come behind all others.
  const size_t count = documents_.size();
  for (size_t i = 0; i < count; ++i) {
    const PackedDocument first = documents_[i];
    const int64_t predicted = source_->SizeOf(first.document).predicted_count;
    const int64_t capacity = options_.loss_token_capacity;
    for (int64_t done = capacity; done < predicted; done += capacity) {
      documents_.push_back({first.document, first.size,
                            static_cast<int32_t>(std::min(capacity, predicted - done)),
                            static_cast<int32_t>(done)});
      token_count_ += first.size;
      predicted_token_count_ += documents_.back().predicted_count;
    }
  }
}

void Loader::AddDocument(int64_t index, const DocumentSize& size) {
  if (size.predicted_count == 0) {
    ++unlearned_document_count_;
    return;
  }
  const int64_t cut_size = std::min(size.token_count, options_.context);
  const int64_t capacity =
      options_.loss_token_capacity > 0 ? options_.loss_token_capacity : options_.context;
  const int64_t predicted = std::min(size.predicted_count, capacity);
  documents_.push_back({static_cast<int32_t>(index), static_cast<int32_t>(cut_size),
                        static_cast<int32_t>(predicted), 0});
  token_count_ += cut_size;
  predicted_token_count_ += predicted;
  cut_token_count_ += size.token_count - cut_size;
  if (size.token_count > cut_size) ++cut_document_count_;
  if (size.predicted_count == predicted || options_.repeats_documents) return;
  ++masked_document_count_;
  masked_token_count_ += size.predicted_count - predicted;
}

absl::StatusOr<Loader> Loader::Create(std::shared_ptr<const DocumentSource> documents,
                                      const PackingOptions& options) {
  if (documents->document_count() == 0)
    return absl::InvalidArgumentError("the data set has no documents");
  TUNESMITH_RETURN_IF_ERROR(CheckOptions(options));
  Loader loader(std::move(documents), options);
  if (loader.documents_.empty() && loader.unlearned_document_count_ == 0) {
    return absl::InvalidArgumentError(StrCat(
        "all ", loader.dropped_document_count_, " documents are longer than the context of ",
        options.context, " tokens and would be dropped; raise the context, or have them cut"));
  }
  if (loader.predicted_token_count_ > 0) return loader;
  return absl::InvalidArgumentError(
      StrCat("no document has a token to learn within the context of ", options.context,
             " tokens; raise the context or shorten the prompts"));
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

absl::Status Loader::FillRow(const RowDocuments& row, int64_t index, Batch* batch) const {
  LabelWriter labels(index, options_.loss_token_capacity, batch);
  const auto row_begin = static_cast<size_t>(index * batch->context);
  size_t begin = 0;
  for (const int32_t id : row) {
    const PackedDocument& packed = documents_[static_cast<size_t>(id)];
    TUNESMITH_ASSIGN_OR_RETURN(Document document, source_->Read(packed.document));
    MaskAllBut(packed.first_predicted, packed.predicted_count, &document);
    WriteDocument(document, packed.size, row_begin, begin, batch, labels);
    begin += static_cast<size_t>(packed.size);
    batch->documents.push_back(source_->RowOf(packed.document));
  }
  batch->token_count += static_cast<int64_t>(begin);
  return absl::OkStatus();
}

absl::StatusOr<Batch> Loader::NextBatch(int64_t row_count, const RankShare& share) {
  Batch batch = EmptyBatch(row_count, options_);
  SkipRows(share.rank * row_count);
  for (int64_t i = 0; i < row_count; ++i) TUNESMITH_RETURN_IF_ERROR(FillRow(TakeRow(), i, &batch));
  SkipRows((share.size - 1 - share.rank) * row_count);
  return batch;
}

absl::StatusOr<Batch> Loader::NextBatchOfEpoch(int64_t row_count, const RankShare& share) {
  const int64_t left = rows_in_epoch() - next_row_;
  if (left == 0) return EmptyBatch(0, options_);
  const int64_t first = std::min(left, share.rank * row_count);
  const int64_t last = std::min(left, first + row_count);
  Batch batch = EmptyBatch(row_count, options_);
  SkipRows(first);
  for (int64_t i = first; i < last; ++i)
    TUNESMITH_RETURN_IF_ERROR(FillRow(TakeRow(), i - first, &batch));
  SkipRows(std::min(left, share.size * row_count) - last);
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
