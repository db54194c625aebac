#include "trainer/cuda/gemm.h"

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/gemm_fallback.h"
#include "trainer/cuda/gemm_plans.h"

namespace tunesmith::trainer {
namespace {

bool IsFloat(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16; }

absl::Status CheckDTypes(const GemmArgs& args) {
  if (IsFloat(args.input_dtype) &&
      (args.output_dtype == args.input_dtype || args.output_dtype == DType::kF32)) {
    return absl::OkStatus();
  }
  return absl::UnimplementedError(StrCat("a CUDA matrix product of ", DTypeName(args.input_dtype),
                                         " into ", DTypeName(args.output_dtype)));
}

absl::Status RunPlan(CudaContext::Impl& impl, const GemmPlan& plan, const GemmArgs& args) {
  const void* const c = args.beta == 0.0f ? args.d.data : args.c.data;
  return CublasLtStatus(
      *impl.lt,
      impl.lt->matmul(impl.lt_handle, plan.desc.get(), &args.alpha, args.b.data, plan.a.get(),
                      args.a.data, plan.b.get(), &args.beta, c, plan.c.get(),
                      const_cast<void*>(args.d.data), plan.d.get(), &plan.algorithm,
                      impl.gemm_workspace.data(),
                      static_cast<size_t>(impl.gemm_workspace.size_bytes()), impl.stream.get()),
      "cublasLtMatmul");
}

}  // namespace

absl::Status Gemm(CudaContext& cuda, const GemmArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(CheckDTypes(args));
  if (args.m == 0 || args.n == 0 || args.batch_count == 0) return absl::OkStatus();
  CudaContext::Impl& impl = cuda.impl();
  if (args.k == 0) return GemmFallback(args, impl.stream.get());
  TUNESMITH_ASSIGN_OR_RETURN(
      const GemmPlan* plan,
      impl.gemm_plans->Find(impl.lt_handle, args, impl.gemm_workspace.size_bytes()));
  if (plan == nullptr) return GemmFallback(args, impl.stream.get());
  return RunPlan(impl, *plan, args);
}

}  // namespace tunesmith::trainer
