#include "planner/price/op_cost.h"

namespace tunesmith::planner {
namespace {

const Buffer& BufferOf(const Program& program, BufferRef ref) {
  return program.buffers[static_cast<size_t>(ref.buffer)];
}

double BytesOf(const Program& program, BufferRef ref) {
  return static_cast<double>(InstanceBytes(BufferOf(program, ref)));
}

double TouchedBytes(const Program& program, const Op& op, bool accumulates) {
  double bytes = 0;
  for (int i = 0; i < op.input_count; ++i)
    bytes += BytesOf(program, op.inputs[static_cast<size_t>(i)]);
  // What a product writes beside its result is scratch, which stays in the cache.
  const int written_count = IsLinear(op.kind) ? 1 : op.output_count;
  for (int i = 0; i < written_count; ++i) {
    bytes += BytesOf(program, op.outputs[static_cast<size_t>(i)]) * (accumulates ? 2.0 : 1.0);
  }
  return bytes;
}

// Gathers and scatters touch the rows of the table that the tokens name, not the table; a scatter that overwrites clears the table first.
double EmbeddingBytes(const Program& program, const Op& op, bool accumulates) {
  if (op.kind == OpKind::kEmbedding) {
    return 2.0 * BytesOf(program, op.outputs[0]) + BytesOf(program, op.inputs[0]);
  }
  const double cleared = accumulates ? 0.0 : BytesOf(program, op.outputs[0]);
  // What is added to the rows is read once, and the rows, wider where gradients are summed in fp32, are read and written.
  const Buffer &dy = BufferOf(program, op.inputs[1]), &table = BufferOf(program, op.outputs[0]);
  const double rows =
      static_cast<double>(ElementCount(dy)) * static_cast<double>(SizeOf(table.dtype));
  return BytesOf(program, op.inputs[1]) + 2.0 * rows + BytesOf(program, op.inputs[0]) + cleared;
}

// The rows that are named are read and written; a scatter clears the whole matrix first.
double RowBytes(const Program& program, const Op& op) {
  if (op.kind == OpKind::kGatherRows)
    return 2.0 * BytesOf(program, op.outputs[0]) + BytesOf(program, op.inputs[1]);
  return 2.0 * BytesOf(program, op.inputs[0]) + BytesOf(program, op.inputs[1]) +
         BytesOf(program, op.outputs[0]);
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
double WindowShare(const OpAttributes& a) {
  if (a.window == 0 || a.window >= a.context) return 0.5;
  const double share = static_cast<double>(a.window) / static_cast<double>(a.context);
  return share - share * share / 2;
}

// Pairs that are formed, over all pairs: the mean over the model's layers. Eager kernels form every pair; the others skip what the causal mask and the window
// hide, and the project's own what documents hide.
double FormedShare(AttentionKernel kernel, const OpAttributes& a, const PairFactors& by_documents) {
  if (kernel == AttentionKernel::kEager) return 1;
  const PairFactors pairs = kernel == AttentionKernel::kFlash ? by_documents : PairFactors{};
  const double full = a.full_layers.Share();
  return full * 0.5 * pairs.full + (1 - full) * WindowShare(a) * pairs.windowed;
}

// Of a matrix, the columns that are rotated; the mean over the model's layers.
double RotatedShare(const Program& program, const Op& op) {
  const double columns = static_cast<double>(op.attributes.head_count * op.attributes.head_size);
  return columns / static_cast<double>(BufferOf(program, op.outputs[0]).dims[1]) *
         (1 - program.inputs.model.unrotated_layers.Share());
}

}  // namespace

std::optional<AttentionKernel> AttentionKernelOf(OpKind kind) {
  switch (kind) {
    case OpKind::kAttention:
    case OpKind::kAttentionBackward:
      return AttentionKernel::kEager;
    case OpKind::kFlashAttention:
    case OpKind::kFlashAttentionBackward:
      return AttentionKernel::kFlash;
    case OpKind::kCudnnAttention:
    case OpKind::kCudnnAttentionBackward:
      return AttentionKernel::kCudnn;
    default:
      return std::nullopt;
  }
}
bool IsAttention(OpKind kind) { return AttentionKernelOf(kind).has_value(); }

int64_t SequenceCount(const Program& program, const Op& op) {
  return BufferOf(program, op.inputs[0]).dims[0] / op.attributes.context * op.attributes.head_count;
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
    case OpKind::kCudnnAttentionBackward:
      return 5.0 * product;
    default:
      return 2.0 * product;
  }
}

OpCost CostOf(const Program& program, const Op& op, bool accumulates, const PairFactors& pairs) {
  if (IsLinear(op.kind)) {
    const GemmShape g = GemmShapeOf(program, op);
    return {.flops = 2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) *
                     static_cast<double>(g.k),
            .bytes = TouchedBytes(program, op, accumulates)};
  }
  if (const std::optional<AttentionKernel> kernel = AttentionKernelOf(op.kind)) {
    const bool eager = *kernel == AttentionKernel::kEager;
    const int64_t tokens = BufferOf(program, op.inputs[0]).dims[0];
    return {.flops = AttentionFlops(op.kind, op.attributes, tokens,
                                    FormedShare(*kernel, op.attributes, pairs)),
            .bytes = eager ? TouchedBytes(program, op, accumulates) : FlashBytes(program, op)};
  }
  if (op.kind == OpKind::kEmbedding || op.kind == OpKind::kEmbeddingBackward)
    return {.bytes = EmbeddingBytes(program, op, accumulates)};
  if (op.kind == OpKind::kGatherRows || op.kind == OpKind::kScatterRows)
    return {.bytes = RowBytes(program, op)};
  const double bytes = TouchedBytes(program, op, accumulates);
  const bool rotates = op.kind == OpKind::kRope || op.kind == OpKind::kRopeBackward;
  return {.bytes = rotates ? bytes * RotatedShare(program, op) : bytes};
}

}  // namespace tunesmith::planner
