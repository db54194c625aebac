#include "planner/price/op_cost.h"

namespace tunesmith::planner {
namespace {

const Buffer& BufferOf(const Program& program, BufferRef ref) {
  return program.buffers[static_cast<size_t>(ref.buffer)];
}

double BytesOf(const Program& program, BufferRef ref) {
  return static_cast<double>(InstanceBytes(BufferOf(program, ref)));
}

double TouchedBytes(const Program& program, const Op& op) {
  double bytes = 0;
  for (int i = 0; i < op.input_count; ++i)
    bytes += BytesOf(program, op.inputs[static_cast<size_t>(i)]);
  for (int i = 0; i < op.output_count; ++i) {
    bytes += BytesOf(program, op.outputs[static_cast<size_t>(i)]) *
             (op.attributes.accumulate ? 2.0 : 1.0);
  }
  return bytes;
}

// Gathers and scatters touch the rows of the table that the tokens name, not the table; a scatter that overwrites clears the table first.
double EmbeddingBytes(const Program& program, const Op& op) {
  if (op.kind == OpKind::kEmbedding) {
    return 2.0 * BytesOf(program, op.outputs[0]) + BytesOf(program, op.inputs[0]);
  }
  const double cleared = op.attributes.accumulate ? 0.0 : BytesOf(program, op.outputs[0]);
  return 3.0 * BytesOf(program, op.inputs[1]) + BytesOf(program, op.inputs[0]) + cleared;
}

// Scratch is reused tile by tile and stays in the cache.
double FlashBytes(const Program& program, const Op& op) {
  double bytes = 0;
  for (int i = 0; i < op.input_count; ++i)
    bytes += BytesOf(program, op.inputs[static_cast<size_t>(i)]);
  for (int i = 0; i + 1 < op.output_count; ++i)
    bytes += BytesOf(program, op.outputs[static_cast<size_t>(i)]);
  return bytes;
}

// Of the pairs of a row's queries and keys, those that one document leaves visible: a query sees the keys up to itself, at most a window of them.
double VisibleShare(const OpAttributes& a) {
  if (a.window == 0 || a.window >= a.context) return 0.5;
  const double share = static_cast<double>(a.window) / static_cast<double>(a.context);
  return share - share * share / 2;
}

}  // namespace

bool IsLinear(OpKind kind) {
  return kind == OpKind::kLinear || kind == OpKind::kLinearBias ||
         kind == OpKind::kLinearBackwardInput || kind == OpKind::kLinearBackwardWeight;
}

bool IsAttention(OpKind kind) {
  return kind == OpKind::kAttention || kind == OpKind::kFlashAttention ||
         kind == OpKind::kAttentionBackward || kind == OpKind::kFlashAttentionBackward;
}

GemmShape GemmShapeOf(const Program& program, const Op& op) {
  const Buffer& a = BufferOf(program, op.inputs[0]);
  const Buffer& b = BufferOf(program, op.inputs[1]);
  switch (op.kind) {
    case OpKind::kLinearBackwardInput:
      return {.m = a.dims[0], .n = b.dims[1], .k = a.dims[1]};
    case OpKind::kLinearBackwardWeight:
      return {.m = a.dims[1], .n = b.dims[1], .k = a.dims[0]};
    default:
      return {.m = a.dims[0], .n = b.dims[0], .k = a.dims[1]};
  }
}

double AttentionFlops(OpKind kind, const OpAttributes& attributes, int64_t token_count,
                      double pair_share) {
  const double pairs =
      static_cast<double>(token_count) * static_cast<double>(attributes.context) * pair_share;
  const double product =
      2.0 * pairs * static_cast<double>(attributes.head_count * attributes.head_size);
  switch (kind) {
    case OpKind::kAttentionBackward:
      return 4.0 * product;
    case OpKind::kFlashAttentionBackward:
      return 5.0 * product;
    default:
      return 2.0 * product;
  }
}

OpCost CostOf(const Program& program, const Op& op) {
  if (IsLinear(op.kind)) {
    const GemmShape g = GemmShapeOf(program, op);
    return {.flops = 2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) *
                     static_cast<double>(g.k),
            .bytes = TouchedBytes(program, op)};
  }
  if (IsAttention(op.kind)) {
    // Eager kernels form every pair; flash kernels skip what the causal mask and the window hide.
    const bool flash =
        op.kind == OpKind::kFlashAttention || op.kind == OpKind::kFlashAttentionBackward;
    const int64_t tokens = BufferOf(program, op.inputs[0]).dims[0];
    return {.flops = AttentionFlops(op.kind, op.attributes, tokens,
                                    flash ? VisibleShare(op.attributes) : 1.0),
            .bytes = flash ? FlashBytes(program, op) : TouchedBytes(program, op)};
  }
  if (op.kind == OpKind::kEmbedding || op.kind == OpKind::kEmbeddingBackward)
    return {.bytes = EmbeddingBytes(program, op)};
  return {.bytes = TouchedBytes(program, op)};
}

}  // namespace tunesmith::planner
