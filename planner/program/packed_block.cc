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
  // Locals are added one after another: their ids are sorted and close together, and views of them come later.
  const int32_t first_id = block.locals.front();
  std::vector<int32_t> piece_of(static_cast<size_t>(block.locals.back() - first_id + 1), -1);
  std::vector<Lifetime> pieces(block.locals.size());
  for (size_t i = 0; i < pieces.size(); ++i) {
    piece_of[static_cast<size_t>(block.locals[i] - first_id)] = static_cast<int32_t>(i);
    pieces[i] = {.bytes = InstanceBytes(program.buffers[static_cast<size_t>(block.locals[i])]),
                 .first = kNever};
  }
  ForEachRef(block, [&](size_t op, BufferRef ref) {
    if (ref.buffer < first_id) return;
    const int32_t id = BaseOf(program, ref.buffer);
    if (id < first_id || id > block.locals.back()) return;
    const int32_t local = piece_of[static_cast<size_t>(id - first_id)];
    if (local < 0) return;
    Lifetime& piece = pieces[static_cast<size_t>(local)];
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

int64_t PackedBytes(const Program& program, const Block& block) {
  if (block.locals.empty()) return 0;
  return PackLifetimes(LifetimesOf(program, block), kBufferAlignmentBytes).bytes;
}

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
