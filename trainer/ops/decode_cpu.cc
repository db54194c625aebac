#include "trainer/ops/decode_cpu.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/ops/attention_workers.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
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

// o = the sum over rows of factors[row] * v[row], rows `stride` apart. Outputs that are narrower
// than the sums are rounded once.
template <typename S, typename T>
void WeighRows(const T* factors, int64_t count, const S* v, int64_t stride, int64_t D, S* o) {
  std::array<T, kColumnGrain> sums;
  for (int64_t begin = 0; begin < D; begin += kColumnGrain) {
    const int64_t width = std::min(kColumnGrain, D - begin);
    sums.fill(T{0});
    for (int64_t j = 0; j < count; ++j)
      RowAddScaled(v + j * stride + begin, width, factors[j], sums.data());
    for (int64_t d = 0; d < width; ++d) o[begin + d] = sums[d];
  }
}

template <typename S, typename T = Arithmetic<S>>
void DecodeHead(const DecodeAttentionArgs& args, int64_t h) {
  const AttentionShape& shape = args.shape;
  const int64_t D = shape.head_size, row = shape.kv_head_count * D;
  const int64_t kv = h / (shape.head_count / shape.kv_head_count);
  const int64_t end = *args.positions.as<int32_t>() + int64_t{1};
  const int64_t begin = shape.window > 0 ? std::max<int64_t>(0, end - shape.window) : 0;
  const S* q = args.q.as<S>() + h * D;
  const S* k = args.k_cache.as<S>() + kv * D;
  T* scores = args.scores.as<T>() + h * shape.context;
  for (int64_t j = begin; j < end; ++j) {
    scores[j] = static_cast<T>(shape.scale) * RowDot(q, k + j * row, D);
  }
  const T cap = static_cast<T>(shape.soft_cap), slope = SlopeOf<T>(shape, h);
  for (int64_t j = begin; j < end; ++j) {
    if (cap > 0) scores[j] = cap * Tanh(scores[j] / cap);
    scores[j] -= slope * static_cast<T>(end - 1 - j);
  }
  T* const visible = scores + begin;
  const T sum = RowExp(visible, end - begin, RowMax(visible, end - begin), visible);
  RowScale(visible, end - begin, T{1} / sum);
  WeighRows(visible, end - begin, args.v_cache.as<S>() + begin * row + kv * D, row, D,
            args.o.as<S>() + h * D);
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
  return VisitStorage(OpKind::kDecodeAttention, args.q.dtype, [&](auto storage) {
    threads.ForEach(args.shape.head_count, threads.thread_count(),
                    [&](int64_t h, int) { DecodeHead<decltype(storage)>(args, h); });
    return absl::OkStatus();
  });
}

absl::Status ArgMax(ThreadPool& threads, const ArgMaxArgs& args) {
  const int64_t N = args.logits.dims[0], V = args.logits.dims[1];
  return VisitStorage(OpKind::kArgMax, args.logits.dtype, [&](auto storage) {
    using S = decltype(storage);
    using T = Arithmetic<S>;
    threads.ForEach(N, threads.thread_count(), [&](int64_t i, int) {
      const S* logits = args.logits.as<S>() + i * V;
      const T largest = RowMax(logits, V);
      const S* found =
          std::find_if(logits, logits + V, [&](const S& x) { return T(x) == largest; });
      args.token.as<int32_t>()[i] = found == logits + V ? 0 : static_cast<int32_t>(found - logits);
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
