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
template <typename T>
double LossOfRow(const T* logits, int64_t V, int32_t label) {
  if (label < 0) return 0;
  const T largest = RowMax(logits, V);
  return std::log(static_cast<double>(RowSumExp(logits, V, largest))) + largest - logits[label];
}

// The row's loss; the logits become their gradients.
template <typename T>
double LossAndGradientOfRow(T* logits, int64_t V, int32_t label, T loss_scale) {
  if (label < 0) {
    std::fill_n(logits, V, T{0});
    return 0;
  }
  const T largest = RowMax(logits, V);
  const double label_logit = logits[label];
  const T sum = RowExp(logits, V, largest, logits);
  RowScale(logits, V, loss_scale / sum);
  logits[label] -= loss_scale;
  return std::log(static_cast<double>(sum)) + largest - label_logit;
}

}  // namespace

absl::Status CrossEntropy(ThreadPool& threads, const CrossEntropyArgs& args) {
  const int64_t N = args.logits.dims[0], V = args.logits.dims[1];
  TUNESMITH_RETURN_IF_ERROR(CheckLabels(OpKind::kCrossEntropy, args.labels, V));
  return VisitComputeType(OpKind::kCrossEntropy, args.logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    *args.loss_sum.as<double>() += OrderedSum(threads, N, 1, [&](int64_t begin, int64_t end) {
      double sum = 0;
      for (int64_t i = begin; i < end; ++i) {
        sum += LossOfRow(args.logits.as<T>() + i * V, V, args.labels.as<int32_t>()[i]);
      }
      return sum;
    });
    return absl::OkStatus();
  });
}

absl::Status CrossEntropyInPlace(ThreadPool& threads, const CrossEntropyInPlaceArgs& args) {
  const int64_t N = args.logits.dims[0], V = args.logits.dims[1];
  TUNESMITH_RETURN_IF_ERROR(CheckLabels(OpKind::kCrossEntropyInPlace, args.labels, V));
  return VisitComputeType(OpKind::kCrossEntropyInPlace, args.logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T loss_scale = static_cast<T>(ReadScalar(args.loss_scale));
    *args.loss_sum.as<double>() += OrderedSum(threads, N, 1, [&](int64_t begin, int64_t end) {
      double sum = 0;
      for (int64_t i = begin; i < end; ++i) {
        sum += LossAndGradientOfRow(args.logits.as<T>() + i * V, V, args.labels.as<int32_t>()[i],
                                    loss_scale);
      }
      return sum;
    });
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::trainer::cpu
