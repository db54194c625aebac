#include "trainer/cuda/gemm.h"

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/gemm_fallback.h"
#include "trainer/cuda/gemm_plans.h"
#include "trainer/cuda/gemm_tuner.h"

namespace tunesmith::trainer {
namespace {

// Of the heuristic's algorithms that are measured.
constexpr int kCandidateCount = 12;

bool IsFloat(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16; }

absl::Status CheckDTypes(const GemmArgs& args) {
  if (IsFloat(args.input_dtype) &&
      (args.output_dtype == args.input_dtype || args.output_dtype == DType::kF32)) {
    return absl::OkStatus();
  }
  return absl::UnimplementedError(StrCat("a CUDA matrix product of ", DTypeName(args.input_dtype),
                                         " into ", DTypeName(args.output_dtype)));
}

absl::Status RunPlan(CudaContext::Impl& impl, const GemmPlan& plan,
                     const cublasLtMatmulAlgo_t& algorithm, const GemmArgs& args) {
  const void* const c = args.beta == 0.0f ? args.d.data : args.c.data;
  if (args.bias != nullptr)
    TUNESMITH_RETURN_IF_ERROR(SetGemmBias(*impl.lt, plan.desc.get(), args.bias));
  return CublasLtStatus(
      *impl.lt,
      impl.lt->matmul(impl.lt_handle, plan.desc.get(), &args.alpha, args.b.data, plan.a.get(),
                      args.a.data, plan.b.get(), &args.beta, c, plan.c.get(),
                      const_cast<void*>(args.d.data), plan.d.get(), &algorithm,
                      impl.gemm_workspace.data(),
                      static_cast<size_t>(impl.gemm_workspace.size_bytes()), impl.stream.get()),
      "cublasLtMatmul");
}

// Chooses the plan's algorithm; what the product writes is of no meaning.
absl::Status Tune(CudaContext::Impl& impl, GemmPlan& plan, const GemmArgs& args) {
  if (plan.candidates.empty()) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(plan.algorithm,
                             impl.gemm_tuner->Choose(GemmPlans::KeyOf(args), plan.candidates,
                                                     [&](const cublasLtMatmulAlgo_t& candidate) {
                                                       return RunPlan(impl, plan, candidate, args);
                                                     }));
  plan.candidates.clear();
  return absl::OkStatus();
}

}  // namespace

absl::Status Gemm(CudaContext& cuda, const GemmArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(CheckDTypes(args));
  if (args.m == 0 || args.n == 0 || args.batch_count == 0) return absl::OkStatus();
  CudaContext::Impl& impl = cuda.impl();
  const bool tunes = impl.gemm_tuner != nullptr;
  GemmPlan* plan = nullptr;
  if (args.k > 0) {
    TUNESMITH_ASSIGN_OR_RETURN(
        plan, impl.gemm_plans->Find(impl.lt_handle, args, impl.gemm_workspace.size_bytes(),
                                    tunes ? kCandidateCount : 1));
  }
  if (tunes) return plan == nullptr ? absl::OkStatus() : Tune(impl, *plan, args);
  if (plan == nullptr) return GemmFallback(args, impl.stream.get());
  return RunPlan(impl, *plan, plan->algorithm, args);
}

}  // namespace tunesmith::trainer
