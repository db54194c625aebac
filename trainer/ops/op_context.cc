#include "trainer/ops/op_context.h"

#include "trainer/cuda/cuda_context.h"

namespace tunesmith::trainer {

planner::Backend BackendOf(const OpContext& context) {
  return {
      .kind = context.device,
      .compute_capability = context.cuda == nullptr ? 0 : context.cuda->info().compute_capability};
}

}  // namespace tunesmith::trainer
