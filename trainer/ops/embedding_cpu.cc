#include "trainer/ops/embedding_cpu.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

absl::Status CheckTokens(OpKind op, const Tensor& tokens, int64_t V) {
  const int32_t* token = tokens.as<int32_t>();
  for (int64_t i = 0; i < tokens.dims[0]; ++i) {
    if (token[i] >= 0 && token[i] < V) continue;
    return absl::InvalidArgumentError(StrCat(planner::OpKindName(op), ": tokens[", i, "] is ",
                                             token[i], ", the table has ", V, " rows"));
  }
  return absl::OkStatus();
}

// As the activations' type holds it.
template <typename S>
Arithmetic<S> RoundedScale(double scale) {
  const S rounded(static_cast<Arithmetic<S>>(scale));
  return Arithmetic<S>(rounded);
}

// y (+)= scale * x.
template <typename S, typename T = Arithmetic<S>>
TUNESMITH_VECTOR_CLONES void ScaleRow(const S* x, int64_t count, T scale, S* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = scale * T(x[i]);
}

// dweight rows of f32 or wider: each thread adds a range of columns for all tokens in their order.
template <typename S, typename A>
void AddAllRows(ThreadPool& threads, const EmbeddingBackwardArgs& args) {
  const int64_t BT = args.dy.dims[0], C = args.dy.dims[1];
  threads.ForRanges(C, kColumnGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < BT; ++i) {
      const int64_t token = args.tokens.as<int32_t>()[i];
      RowAddScaled(args.dy.as<S>() + i * C + begin, end - begin, RoundedScale<S>(args.scale),
                   args.dweight.as<A>() + token * C + begin);
    }
  });
}

// Columns that are summed at once beside a narrow dweight.
constexpr int64_t kSumColumns = 1024;

// A dweight that is narrower than the sums is rounded once per token, not once per position: the
// first position of each token adds the rows of all of its positions, in their order.
template <typename S, typename A>
void AddRowsOfToken(const EmbeddingBackwardArgs& args, int64_t first) {
  const int64_t BT = args.dy.dims[0], C = args.dy.dims[1];
  const int32_t* tokens = args.tokens.as<int32_t>();
  const int32_t token = tokens[first];
  if (std::find(tokens, tokens + first, token) != tokens + first) return;
  for (int64_t begin = 0; begin < C; begin += kSumColumns) {
    const int64_t count = std::min(kSumColumns, C - begin);
    A* row = args.dweight.as<A>() + token * C + begin;
    std::array<float, kSumColumns> sums;
    for (int64_t c = 0; c < count; ++c) sums[c] = float(row[c]);
    for (int64_t i = first; i < BT; ++i) {
      if (tokens[i] == token)
        RowAddScaled(args.dy.as<S>() + i * C + begin, count,
                     static_cast<float>(RoundedScale<S>(args.scale)), sums.data());
    }
    for (int64_t c = 0; c < count; ++c) row[c] = sums[c];
  }
}

template <typename S, typename A>
void AddRowsByToken(ThreadPool& threads, const EmbeddingBackwardArgs& args) {
  constexpr int64_t kTokenGrain = 16;
  threads.ForRanges(args.dy.dims[0], kTokenGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) AddRowsOfToken<S, A>(args, i);
  });
}

}  // namespace

absl::Status Embedding(ThreadPool& threads, const EmbeddingArgs& args) {
  const int64_t BT = args.y.dims[0], C = args.y.dims[1];
  TUNESMITH_RETURN_IF_ERROR(CheckTokens(OpKind::kEmbedding, args.tokens, args.weight.dims[0]));
  return VisitStorage(OpKind::kEmbedding, args.y.dtype, [&](auto storage) {
    using S = decltype(storage);
    const Arithmetic<S> scale = RoundedScale<S>(args.scale);
    threads.ForRanges(BT, RowGrain(C), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const S* row = args.weight.as<S>() + args.tokens.as<int32_t>()[i] * C;
        S* y = args.y.as<S>() + i * C;
        if (args.accumulate) {
          RowAddScaled(row, C, scale, y);
        } else {
          ScaleRow(row, C, scale, y);
        }
      }
    });
    return absl::OkStatus();
  });
}

absl::Status EmbeddingBackward(ThreadPool& threads, const EmbeddingBackwardArgs& args) {
  const int64_t C = args.dy.dims[1], V = args.dweight.dims[0];
  TUNESMITH_RETURN_IF_ERROR(CheckTokens(OpKind::kEmbeddingBackward, args.tokens, V));
  return VisitAccumulator(OpKind::kEmbeddingBackward, args.dy.dtype, args.dweight.dtype,
                          [&](auto storage, auto accumulator) {
                            using S = decltype(storage);
                            using A = decltype(accumulator);
                            if (!args.accumulate) {
                              threads.ForRanges(
                                  V * C, kElementGrain, [&](int64_t begin, int64_t end) {
                                    std::fill_n(args.dweight.as<A>() + begin, end - begin, A{});
                                  });
                            }
                            if constexpr (std::is_same_v<A, Bf16>) {
                              AddRowsByToken<S, A>(threads, args);
                            } else {
                              AddAllRows<S, A>(threads, args);
                            }
                            return absl::OkStatus();
                          });
}

}  // namespace tunesmith::trainer::cpu
