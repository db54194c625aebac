#include "planner/program/packed_block.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "planner/program/packing.h"

namespace tunesmith::planner {
namespace {

using ClassBytes = std::array<int64_t, kMemoryClassCount>;

// From the first to the last op of the block that touches each of its locals.
std::vector<Lifetime> LifetimesOf(const Program& program, const Block& block) {
  constexpr int64_t kNever = -1;
  std::vector<Lifetime> pieces;
  pieces.reserve(block.locals.size());
  for (int32_t local : block.locals)
    pieces.push_back(
        {.bytes = InstanceBytes(program.buffers[static_cast<size_t>(local)]), .first = kNever});
  ForEachRef(block, [&](size_t op, BufferRef ref) {
    const int32_t id = BaseOf(program, ref.buffer);
    if (program.buffers[static_cast<size_t>(id)].region != Region::kLocal) return;
    // Locals are added one after another, so that their ids are sorted.
    const auto local = std::lower_bound(block.locals.begin(), block.locals.end(), id);
    Lifetime& piece = pieces[static_cast<size_t>(local - block.locals.begin())];
    if (piece.first == kNever) piece.first = static_cast<int64_t>(op);
    piece.last = static_cast<int64_t>(op);
  });
  return pieces;
}

// Bytes by class at the op where most locals live.
ClassBytes FullestOp(const Program& program, const Block& block,
                     const std::vector<Lifetime>& pieces) {
  std::vector<int64_t> born(block.ops.size() + 1, 0);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const int64_t bytes =
        AlignedInstanceBytes(program.buffers[static_cast<size_t>(block.locals[i])]);
    born[static_cast<size_t>(pieces[i].first)] += bytes;
    born[static_cast<size_t>(pieces[i].last) + 1] -= bytes;
  }
  std::partial_sum(born.begin(), born.end(), born.begin());
  const auto fullest =
      static_cast<int64_t>(std::max_element(born.begin(), born.end()) - born.begin());
  ClassBytes at = {};
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Buffer& b = program.buffers[static_cast<size_t>(block.locals[i])];
    if (pieces[i].first <= fullest && fullest <= pieces[i].last)
      at[static_cast<size_t>(b.memory_class)] += AlignedInstanceBytes(b);
  }
  return at;
}

}  // namespace

PackedBlock PackBlock(const Program& program, const Block& block) {
  if (block.locals.empty()) return {};
  const std::vector<Lifetime> pieces = LifetimesOf(program, block);
  Packing packing = PackLifetimes(pieces, kBufferAlignmentBytes);
  ClassBytes at = FullestOp(program, block, pieces);
  at[static_cast<size_t>(MemoryClass::kActivations)] +=
      packing.bytes - std::accumulate(at.begin(), at.end(), int64_t{0});
  return {.bytes = packing.bytes, .offsets = std::move(packing.offsets), .class_bytes = at};
}

}  // namespace tunesmith::planner
