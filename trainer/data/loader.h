#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/data/batch.h"
#include "trainer/data/documents.h"

namespace tunesmith::trainer {

// How documents become rows.
struct PackingOptions {
  int64_t context = 0;
  int64_t document_capacity = 1;  // most documents in a row
  // Most predicted tokens in a row; 0: any number. Else batches name them in loss_rows.
  int64_t loss_token_capacity = 0;
  // What becomes of a document that alone has more: it comes several times, with other tokens to predict each time (for evaluation), or its
  // tokens beyond the capacity are not predicted.
  bool repeats_documents = false;
  bool drops_long_documents = false;  // those longer than the context, instead of cutting them
  bool shuffles = true;               // another order of the documents in every epoch
  uint64_t seed = 0;
};

// A document as it comes into a row.
struct PackedDocument {
  int32_t document = 0;         // its index in the data set
  int32_t size = 0;             // tokens, at most the context
  int32_t predicted_count = 0;  // of these, at most the capacity
  int32_t first_predicted =
      0;  // how many predicted tokens of the document are left to other repeats of it
};

// The documents of one row, in their order: indices into the packed documents.
using RowDocuments = std::vector<int32_t>;

// The rows of one epoch: documents in the order of (seed, epoch), put into rows by planner::RowPacker. The result depends on the arguments alone.
std::vector<RowDocuments> PackEpoch(const std::vector<PackedDocument>& documents,
                                    const PackingOptions& options, int64_t epoch);

// All that is needed to go on exactly where a loader stood.
struct LoaderState {
  int64_t epoch = 0;
  int64_t next_row = 0;  // within the epoch
  uint64_t seed = 0;

  bool operator==(const LoaderState&) const = default;
};

// Which of the ranks that read the same rows this is.
struct RankShare {
  int64_t rank = 0;
  int64_t size = 1;
};

// Gives micro-batches of packed rows, one epoch after the other; documents are read when their row comes. Every rank holds the same loader and takes its
// share of the rows. One thread at a time.
class Loader {
 public:
  // INVALID_ARGUMENT naming what is wrong: no documents, all longer than the context and to be dropped, a context below 2, a capacity out of range, no
  // token to learn.
  static absl::StatusOr<Loader> Create(std::shared_ptr<const DocumentSource> documents,
                                       const PackingOptions& options);

  // The next `row_count` rows, going over to the next epoch where one ends. Each rank gets as many, rank 0 the first of them: the m-th call of an optimizer
  // step gives rank r the rows from (m x size + r) x row_count of the step on. Errors: of reading a document. REQUIRES: row_count >= 1.
  absl::StatusOr<Batch> NextBatch(int64_t row_count, const RankShare& share = {});

  // The next at most `row_count` rows of this epoch, padded with empty rows to `row_count`; without a row at the epoch's end. For evaluation:
  // an epoch holds every document once. Does not go over to the next epoch; StartEpoch does. Ranks share rows as above, and the end comes to all of them
  // in the same call: where rows are left for some ranks only, the others get empty ones.
  absl::StatusOr<Batch> NextBatchOfEpoch(int64_t row_count, const RankShare& share = {});
  void StartEpoch(int64_t epoch);

  int64_t rows_in_epoch() const { return static_cast<int64_t>(rows_.size()); }
  int64_t document_count() const { return static_cast<int64_t>(documents_.size()); }
  int64_t dropped_document_count() const { return dropped_document_count_; }
  // Documents without a token to learn within the context. They are left out, so that every row has one.
  int64_t unlearned_document_count() const { return unlearned_document_count_; }
  int64_t token_count() const { return token_count_; }  // of an epoch, after cutting
  int64_t cut_document_count() const {
    return cut_document_count_;
  }                                                             // documents longer than the context
  int64_t cut_token_count() const { return cut_token_count_; }  // their tokens that are left out
  int64_t predicted_token_count() const { return predicted_token_count_; }  // of an epoch
  // Documents with more predicted tokens than the capacity, and how many of these are not predicted.
  int64_t masked_document_count() const { return masked_document_count_; }
  int64_t masked_token_count() const { return masked_token_count_; }

  LoaderState state() const { return {epoch_, next_row_, options_.seed}; }
  // FAILED_PRECONDITION when `state` is of another seed or lies beyond the epoch: the data set or the context is another than when it was saved.
  absl::Status Restore(const LoaderState& state);

 private:
  Loader(std::shared_ptr<const DocumentSource> source, const PackingOptions& options);
  void AddDocuments();
  void AddDocument(int64_t index, const DocumentSize& size);
  const RowDocuments& TakeRow();
  void SkipRows(int64_t row_count);  // that other ranks take
  absl::Status FillRow(const RowDocuments& row, int64_t index, Batch* batch) const;

  std::shared_ptr<const DocumentSource> source_;
  std::vector<PackedDocument> documents_;
  PackingOptions options_;
  int64_t dropped_document_count_ = 0;
  int64_t unlearned_document_count_ = 0;
  int64_t token_count_ = 0;
  int64_t cut_document_count_ = 0;
  int64_t cut_token_count_ = 0;
  int64_t predicted_token_count_ = 0;
  int64_t masked_document_count_ = 0;
  int64_t masked_token_count_ = 0;
  int64_t epoch_ = 0;
  int64_t next_row_ = 0;
  std::vector<RowDocuments> rows_;  // of epoch_
};

}  // namespace tunesmith::trainer
