#include "planner/program/packing.h"

#include <algorithm>
#include <numeric>

#include "common/units.h"

namespace tunesmith::planner {
namespace {

struct Placed {
  int64_t offset = 0;
  int64_t end = 0;
  int64_t first = 0;
  int64_t last = 0;
};

// The lowest offset at which `size` bytes fit between the placed pieces that live at the same time; `placed` is sorted by offset.
int64_t LowestFit(const std::vector<Placed>& placed, const Lifetime& piece, int64_t size) {
  int64_t offset = 0;
  for (const Placed& other : placed) {
    if (other.first > piece.last || piece.first > other.last) continue;
    if (offset + size <= other.offset) break;
    offset = std::max(offset, other.end);
  }
  return offset;
}

}  // namespace

Packing PackLifetimes(const std::vector<Lifetime>& pieces, int64_t alignment) {
  std::vector<uint32_t> order(pieces.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return pieces[a].bytes != pieces[b].bytes ? pieces[a].bytes > pieces[b].bytes : a < b;
  });
  Packing packing{.offsets = std::vector<int64_t>(pieces.size(), 0)};
  std::vector<Placed> placed;
  placed.reserve(pieces.size());
  for (uint32_t i : order) {
    const Lifetime& piece = pieces[i];
    const int64_t size = AlignUp(piece.bytes, alignment);
    const int64_t offset = LowestFit(placed, piece, size);
    packing.offsets[i] = offset;
    packing.bytes = std::max(packing.bytes, offset + size);
    const auto above = std::upper_bound(placed.begin(), placed.end(), offset,
                                        [](int64_t o, const Placed& p) { return o < p.offset; });
    placed.insert(above, {offset, offset + size, piece.first, piece.last});
  }
  return packing;
}

}  // namespace tunesmith::planner
