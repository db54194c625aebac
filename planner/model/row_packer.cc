#include "planner/model/row_packer.h"

#include <algorithm>

namespace tunesmith::planner {
namespace {

constexpr size_t kOpenRowCount = 64;

}  // namespace

RowPacker::OpenRow& RowPacker::FindRoom(int64_t size, int64_t predicted) {
  const bool counts = limits_.loss_token_capacity > 0;
  const auto found = std::find_if(open_.begin(), open_.end(), [&](const OpenRow& row) {
    return row.room >= size && (!counts || row.predicted_room >= predicted);
  });
  if (found != open_.end()) return *found;
  if (open_.size() == kOpenRowCount) open_.erase(open_.begin());
  open_.push_back({.row = row_count_++,
                   .room = limits_.context,
                   .predicted_room = limits_.loss_token_capacity});
  return open_.back();
}

bool RowPacker::IsFull(const OpenRow& row) const {
  return row.room == 0 || row.document_count == limits_.document_capacity;
}

int64_t RowPacker::Place(int64_t size, int64_t predicted) {
  OpenRow& row = FindRoom(size, predicted);
  const int64_t index = row.row;
  row.room -= size;
  row.predicted_room -= predicted;
  ++row.document_count;
  if (IsFull(row)) open_.erase(open_.begin() + (&row - open_.data()));
  return index;
}

}  // namespace tunesmith::planner
