#include "trainer/data/token_slice.h"

#include <algorithm>

namespace tunesmith::trainer {
namespace {

std::vector<int32_t> Part(const std::vector<int32_t>& all, int64_t first, int64_t count) {
  return {all.begin() + first, all.begin() + first + count};
}

// Puts the labels of the named rows where the slice has them: at their tokens, or one behind the other.
void TakeNamedLabels(const Batch& batch, int64_t first, int64_t token_count, int64_t label_count,
                     TokenSlice& slice) {
  const bool for_every_token = label_count == token_count;
  slice.labels.assign(static_cast<size_t>(label_count), -1);
  if (!for_every_token) slice.loss_rows.assign(static_cast<size_t>(label_count), -1);
  size_t next = 0;
  for (size_t i = 0; i < batch.loss_rows.size(); ++i) {
    const int64_t row = batch.loss_rows[i] - first;
    if (batch.loss_rows[i] < 0 || row < 0 || row >= token_count) continue;
    const size_t at = for_every_token ? static_cast<size_t>(row) : next++;
    slice.labels[at] = batch.labels[i];
    if (!for_every_token) slice.loss_rows[at] = static_cast<int32_t>(row);
  }
}

}  // namespace

TokenSlice SliceOf(const Batch& batch, int64_t place, int64_t token_count, int64_t label_count) {
  const int64_t first = place * token_count;
  const bool whole = token_count == batch.row_count * batch.context;
  TokenSlice slice{.tokens = Part(batch.tokens, first, token_count),
                   .positions = Part(batch.positions, first, token_count),
                   .document_starts = batch.document_starts};
  if (whole) {
    slice.labels = batch.labels;
    slice.loss_rows = batch.loss_rows;
  } else if (batch.loss_rows.empty()) {
    slice.labels = Part(batch.labels, first, token_count);
  } else {
    TakeNamedLabels(batch, first, token_count, label_count, slice);
  }
  slice.valid_label_count = std::count_if(slice.labels.begin(), slice.labels.end(),
                                          [](int32_t label) { return label >= 0; });
  return slice;
}

}  // namespace tunesmith::trainer
