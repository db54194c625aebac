#pragma once

#include <cstdint>

#include "planner/model/workload.h"

namespace tunesmith::planner {

// What packing is expected to make of a data set's documents. Plain data; the default is rows that one document fills.
struct RowStatistics {
  double filled_share = 1.0;  // tokens of a row that are not padding, over the context
  double kept_share =
      1.0;  // tokens of the data set that remain when documents are cut to the context
  // Query-key pairs that a flash kernel forms, over those in rows that one document fills: attention does not cross documents.
  double flash_pair_factor = 1.0;
  double full_pair_factor = 1.0;  // the same in layers without the window
};

// Packs a sample of the workload's length histogram with RowPacker: stratified over the lengths, in a fixed shuffled order, so that the result is
// a function of the arguments. Some tenths of a millisecond. `tile` is the side of the kernel's tiles: it forms all pairs of a tile of queries with
// the tiles of keys from the first one that is seen on (1: exactly the pairs that are seen). `window` is how many keys a query sees at most; 0: no
// limit. REQUIRES: ValidateWorkload passed; tile >= 1.
RowStatistics ExpectedRows(const Workload& workload, int64_t tile, int64_t window = 0);

}  // namespace tunesmith::planner
