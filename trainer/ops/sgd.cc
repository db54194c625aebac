#include "trainer/ops/sgd.h"

#include "common/status_macros.h"
#include "trainer/ops/dispatch.h"
#include "trainer/ops/sgd_cpu.h"
#include "trainer/ops/sgd_cuda.h"
#include "trainer/ops/update_checks.h"

namespace tunesmith::trainer {

absl::Status Sgd(const OpContext& context, const SgdArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(CheckUpdate(planner::OpKind::kSgd,
                                        {.gradient = args.gradient,
                                         .clip_factor = args.clip_factor,
                                         .step_scalars = args.step_scalars,
                                         .step_key = args.step_key,
                                         .parameter = args.parameter,
                                         .master = args.master},
                                        /*rounds_stochastically=*/false));
  return Dispatch(context, args, cpu::Sgd, cuda::Sgd);
}

}  // namespace tunesmith::trainer
