#include "trainer/ops/decode_cpu.h"

#include <algorithm>
#include <cstring>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

absl::Status CheckPosition(OpKind op, const Tensor& positions, int64_t T) {
  const int32_t position = *positions.as<int32_t>();
  if (position >= 0 && position < T) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(planner::OpKindName(op), ": positions[0] is ", position,
                                           ", the cache has ", T, " rows"));
}

template <typename T>
void DecodeHead(const DecodeAttentionArgs& args, int64_t h) {
  const AttentionShape& shape = args.shape;
  const int64_t D = shape.head_size, row = shape.kv_head_count * D;
  const int64_t kv = h / (shape.head_count / shape.kv_head_count);
  const int64_t end = *args.positions.as<int32_t>() + int64_t{1};
  const int64_t begin = shape.window > 0 ? std::max<int64_t>(0, end - shape.window) : 0;
  const T* q = args.q.as<T>() + h * D;
  const T* k = args.k_cache.as<T>() + kv * D;
  const T* v = args.v_cache.as<T>() + kv * D;
  T* scores = args.scores.as<T>() + h * shape.context;
  T* o = args.o.as<T>() + h * D;
  for (int64_t j = begin; j < end; ++j) {
    scores[j] = static_cast<T>(shape.scale) * RowDot(q, k + j * row, D);
  }
  T* const visible = scores + begin;
  const T sum = RowExp(visible, end - begin, RowMax(visible, end - begin), visible);
  std::fill_n(o, D, T{0});
  for (int64_t j = begin; j < end; ++j) RowAddScaled(v + j * row, D, scores[j] / sum, o);
}

}  // namespace

absl::Status CacheAppend(ThreadPool&, const CacheAppendArgs& args) {
  const int64_t T = args.cache.dims[0], bytes = args.cache.dims[1] * SizeOf(args.cache.dtype);
  TUNESMITH_RETURN_IF_ERROR(CheckPosition(OpKind::kCacheAppend, args.positions, T));
  const int64_t position = *args.positions.as<int32_t>();
  std::memcpy(args.cache.as<char>() + position * bytes, args.x.data, bytes);
  return absl::OkStatus();
}

absl::Status DecodeAttention(ThreadPool& threads, const DecodeAttentionArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(
      CheckPosition(OpKind::kDecodeAttention, args.positions, args.shape.context));
  return VisitComputeType(OpKind::kDecodeAttention, args.q.dtype, [&](auto zero) {
    using T = decltype(zero);
    threads.ForEach(args.shape.head_count, threads.thread_count(),
                    [&](int64_t h, int) { DecodeHead<T>(args, h); });
    return absl::OkStatus();
  });
}

absl::Status ArgMax(ThreadPool& threads, const ArgMaxArgs& args) {
  const int64_t N = args.logits.dims[0], V = args.logits.dims[1];
  return VisitComputeType(OpKind::kArgMax, args.logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    threads.ForEach(N, threads.thread_count(), [&](int64_t i, int) {
      const T* logits = args.logits.as<T>() + i * V;
      const T* found = std::find(logits, logits + V, RowMax(logits, V));
      args.token.as<int32_t>()[i] = found == logits + V ? 0 : static_cast<int32_t>(found - logits);
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
