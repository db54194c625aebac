#include "trainer/ops/cross_entropy_cpu.h"

#include <algorithm>
#include <cmath>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/ordered_sum.h"
#include "trainer/ops/scalar.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

absl::Status CheckLabels(OpKind op, const Tensor& labels, int64_t V) {
  const int32_t* label = labels.as<int32_t>();
  for (int64_t i = 0; i < labels.dims[0]; ++i) {
    if (label[i] < V) continue;
    return absl::InvalidArgumentError(StrCat(planner::OpKindName(op), ": labels[", i, "] is ",
                                             label[i], ", the vocabulary has ", V, " tokens"));
  }
  return absl::OkStatus();
}

// The row's loss.
template <typename S>
double LossOfRow(const S* logits, int64_t V, int32_t label) {
  using T = Arithmetic<S>;
  if (label < 0) return 0;
  const T largest = RowMax(logits, V);
  return std::log(static_cast<double>(RowSumExp(logits, V, largest))) + largest - T(logits[label]);
}

// logits = softmax(logits) * loss_scale; returns the sum of e^(logits - largest).
template <typename T>
T SoftmaxInPlace(T* logits, int64_t V, T largest, T loss_scale) {
  const T sum = RowExp(logits, V, largest, logits);
  RowScale(logits, V, loss_scale / sum);
  return sum;
}

// Exponentials are taken twice rather than rounded twice.
float SoftmaxInPlace(Bf16* logits, int64_t V, float largest, float loss_scale) {
  const float sum = RowSumExp(logits, V, largest);
  RowScaledExp(logits, V, largest, loss_scale / sum, logits);
  return sum;
}

// The row's loss; the logits become their gradients.
template <typename S, typename T>
double LossAndGradientOfRow(S* logits, int64_t V, int32_t label, T loss_scale) {
  if (label < 0) {
    std::fill_n(logits, V, S{});
    return 0;
  }
  const T largest = RowMax(logits, V), label_logit = T(logits[label]);
  const T sum = SoftmaxInPlace(logits, V, largest, loss_scale);
  const T probability = Exp(label_logit - largest) / sum;
  logits[label] = loss_scale * probability - loss_scale;
  return std::log(static_cast<double>(sum)) + largest - label_logit;
}

// As LossAndGradientOfRow, where the logits are cap * tanh(x / cap) and the gradient is that of x.
template <typename S, typename T>
double LossAndGradientOfCappedRow(S* logits, int64_t V, int32_t label, T loss_scale, T cap) {
  if (label < 0) {
    std::fill_n(logits, V, S{});
    return 0;
  }
  const T largest = RowMax(logits, V), label_logit = T(logits[label]);
  const T sum = RowSumExp(logits, V, largest), factor = loss_scale / sum;
  for (int64_t v = 0; v < V; ++v) {
    const T logit = T(logits[v]), share = logit / cap;
    const T gradient = Exp(logit - largest) * factor - (v == label ? loss_scale : T{0});
    logits[v] = gradient * (T{1} - share * share);
  }
  return std::log(static_cast<double>(sum)) + largest - label_logit;
}

}  // namespace

absl::Status CrossEntropy(ThreadPool& threads, const CrossEntropyArgs& args) {
  const int64_t N = args.logits.dims[0], V = args.logits.dims[1];
  TUNESMITH_RETURN_IF_ERROR(CheckLabels(OpKind::kCrossEntropy, args.labels, V));
  return VisitStorage(OpKind::kCrossEntropy, args.logits.dtype, [&](auto storage) {
    using S = decltype(storage);
    *args.loss_sum.as<double>() += OrderedSum(threads, N, 1, [&](int64_t begin, int64_t end) {
      double sum = 0;
      for (int64_t i = begin; i < end; ++i) {
        sum += LossOfRow(args.logits.as<S>() + i * V, V, args.labels.as<int32_t>()[i]);
      }
      return sum;
    });
    return absl::OkStatus();
  });
}

absl::Status CrossEntropyInPlace(ThreadPool& threads, const CrossEntropyInPlaceArgs& args) {
  const int64_t N = args.logits.dims[0], V = args.logits.dims[1];
  TUNESMITH_RETURN_IF_ERROR(CheckLabels(OpKind::kCrossEntropyInPlace, args.labels, V));
  return VisitStorage(OpKind::kCrossEntropyInPlace, args.logits.dtype, [&](auto storage) {
    using S = decltype(storage);
    const auto loss_scale = static_cast<Arithmetic<S>>(ReadScalar(args.loss_scale));
    const auto soft_cap = static_cast<Arithmetic<S>>(args.soft_cap);
    *args.loss_sum.as<double>() += OrderedSum(threads, N, 1, [&](int64_t begin, int64_t end) {
      double sum = 0;
      for (int64_t i = begin; i < end; ++i) {
        S* const logits = args.logits.as<S>() + i * V;
        const int32_t label = args.labels.as<int32_t>()[i];
        sum += soft_cap > 0 ? LossAndGradientOfCappedRow(logits, V, label, loss_scale, soft_cap)
                            : LossAndGradientOfRow(logits, V, label, loss_scale);
      }
      return sum;
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
