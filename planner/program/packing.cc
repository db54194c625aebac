#include "planner/program/packing.h"

#include <algorithm>
#include <numeric>

#include "common/units.h"

namespace tunesmith::planner {
namespace {

bool Overlap(const Lifetime& a, const Lifetime& b) {
  return a.first <= b.last && b.first <= a.last;
}

// The lowest offset at which `size` bytes fit between the placed pieces that live at the same time; `placed` is sorted by offset.
int64_t LowestFit(const std::vector<Lifetime>& pieces, const std::vector<size_t>& placed,
                  const std::vector<int64_t>& offsets, size_t piece, int64_t size,
                  int64_t alignment) {
  int64_t offset = 0;
  for (size_t other : placed) {
    if (!Overlap(pieces[piece], pieces[other])) continue;
    if (offset + size <= offsets[other]) break;
    offset = std::max(offset, offsets[other] + AlignUp(pieces[other].bytes, alignment));
  }
  return offset;
}

}  // namespace

Packing PackLifetimes(const std::vector<Lifetime>& pieces, int64_t alignment) {
  std::vector<size_t> order(pieces.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return pieces[a].bytes > pieces[b].bytes; });
  Packing packing{.offsets = std::vector<int64_t>(pieces.size(), 0)};
  std::vector<size_t> placed;
  for (size_t piece : order) {
    const int64_t size = AlignUp(pieces[piece].bytes, alignment);
    const int64_t offset = LowestFit(pieces, placed, packing.offsets, piece, size, alignment);
    packing.offsets[piece] = offset;
    packing.bytes = std::max(packing.bytes, offset + size);
    const auto by_offset = [&](size_t a, size_t b) {
      return packing.offsets[a] < packing.offsets[b];
    };
    placed.insert(std::upper_bound(placed.begin(), placed.end(), piece, by_offset), piece);
  }
  return packing;
}

}  // namespace tunesmith::planner
