#include "trainer/ops/embedding_cpu.h"

#include <cstring>

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

}  // namespace

absl::Status Embedding(ThreadPool& threads, const EmbeddingArgs& args) {
  const int64_t BT = args.y.dims[0], C = args.y.dims[1];
  TUNESMITH_RETURN_IF_ERROR(CheckTokens(OpKind::kEmbedding, args.tokens, args.weight.dims[0]));
  return VisitComputeType(OpKind::kEmbedding, args.y.dtype, [&](auto zero) {
    using T = decltype(zero);
    threads.ForRanges(BT, RowGrain(C), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t token = args.tokens.as<int32_t>()[i];
        std::memcpy(args.y.as<T>() + i * C, args.weight.as<T>() + token * C, C * sizeof(T));
      }
    });
    return absl::OkStatus();
  });
}

// Each thread adds a range of columns for all tokens in their order.
absl::Status EmbeddingBackward(ThreadPool& threads, const EmbeddingBackwardArgs& args) {
  const int64_t BT = args.dy.dims[0], C = args.dy.dims[1], V = args.dweight.dims[0];
  TUNESMITH_RETURN_IF_ERROR(CheckTokens(OpKind::kEmbeddingBackward, args.tokens, V));
  return VisitComputeType(OpKind::kEmbeddingBackward, args.dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* dweight = args.dweight.as<T>();
    if (!args.accumulate) {
      threads.ForRanges(V * C, kElementGrain, [&](int64_t begin, int64_t end) {
        std::memset(dweight + begin, 0, (end - begin) * sizeof(T));
      });
    }
    threads.ForRanges(C, kColumnGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < BT; ++i) {
        const int64_t token = args.tokens.as<int32_t>()[i];
        RowAddScaled(args.dy.as<T>() + i * C + begin, end - begin, T{1},
                     dweight + token * C + begin);
      }
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
