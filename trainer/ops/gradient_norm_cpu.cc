#include "trainer/ops/gradient_norm_cpu.h"

#include <cmath>

#include "trainer/ops/dispatch.h"
#include "trainer/ops/grain.h"
#include "trainer/ops/ordered_sum.h"
#include "trainer/ops/scalar.h"
#include "trainer/ops/vector_math.h"

namespace tunesmith::trainer::cpu {

using planner::OpKind;

absl::Status SumSquares(ThreadPool& threads, const SumSquaresArgs& args) {
  return VisitStorage(OpKind::kSumSquares, args.x.dtype, [&](auto storage) {
    using S = decltype(storage);
    *args.sum.as<double>() +=
        OrderedSum(threads, args.x.element_count(), kElementGrain, [&](int64_t begin, int64_t end) {
          return RowSumSquares(args.x.as<S>() + begin, end - begin);
        });
    return absl::OkStatus();
  });
}

absl::Status ClipFactor(ThreadPool&, const ClipFactorArgs& args) {
  const double max_norm = ReadScalar(args.step_scalars, planner::kMaxGradientNorm);
  const double norm = std::sqrt(*args.sum.as<double>());
  const double factor = max_norm / (norm + 1e-6);
  WriteScalar(args.gradient_norm, norm);
  WriteScalar(args.clip_factor, max_norm <= 0 || factor > 1 ? 1.0 : factor);
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer::cpu
