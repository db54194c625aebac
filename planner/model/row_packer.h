#pragma once

#include <cstdint>
#include <vector>

namespace tunesmith::planner {

// What a row can take.
struct RowLimits {
  int64_t context = 0;              // tokens
  int64_t document_capacity = 0;    // documents; 0: any number
  int64_t loss_token_capacity = 0;  // predicted tokens; 0: any number
};

// Puts documents into rows one after the other, each into the first row that is still open and has room: the trainer's packer, and what the
// planner expects of it. Only the last 64 rows begun are open, which bounds the search; more would fill rows hardly better.
class RowPacker {
 public:
  explicit RowPacker(const RowLimits& limits) : limits_(limits) {}

  // The row of a document of `size` tokens, `predicted` of them to be learned. A new row has the next index. REQUIRES: the document fits into an
  // empty row.
  int64_t Place(int64_t size, int64_t predicted);

  int64_t row_count() const { return row_count_; }

 private:
  struct OpenRow {
    int64_t row = 0;
    int64_t room = 0;
    int64_t predicted_room = 0;
    int64_t document_count = 0;
  };

  OpenRow& FindRoom(int64_t size, int64_t predicted);
  bool IsFull(const OpenRow& row) const;

  RowLimits limits_;
  std::vector<OpenRow> open_;  // oldest first
  int64_t row_count_ = 0;
};

}  // namespace tunesmith::planner
