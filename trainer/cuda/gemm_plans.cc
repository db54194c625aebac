#include "trainer/cuda/gemm_plans.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"

// cublasLt thinks in column-major matrices. A row-major (r, s) matrix is a column-major (s, r) one,
// so the row-major product d = op(a) op(b) is the column-major d^T = op(b)^T op(a)^T: cublasLt's A
// is our b, its B our a, its m our n.
namespace tunesmith::trainer {
namespace {

// cublasLt's algorithms distinguish alignments up to this.
constexpr int64_t kMaxAlignment = 256;

int64_t LowestBit(int64_t value) { return value & -value; }

// The largest power of two, up to 256, that divides the address of every matrix of the batch, in
// bytes.
uint32_t AlignmentOf(const GemmOperand& operand, DType dtype) {
  int64_t bits = reinterpret_cast<intptr_t>(operand.data) | kMaxAlignment;
  bits |= operand.batch_stride * SizeOf(dtype);
  return static_cast<uint32_t>(LowestBit(bits));
}

// The same of a bias, which the heuristic looks at too; 0: there is none.
int64_t BiasAlignment(const GemmArgs& args) {
  return args.bias == nullptr ? 0 : AlignmentOf({.data = args.bias}, args.output_dtype);
}

// Where a product's depth is split, its parts are added up in f32, whatever the result is rounded to.
uint32_t ReductionSchemes(DType output) {
  if (output == DType::kF32) return CUBLASLT_REDUCTION_SCHEME_MASK;
  return CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
}

cudaDataType_t CudaType(DType dtype) { return dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F; }

cublasOperation_t Operation(bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; }

// What c is when it is not read: cublasLt wants a layout for it all the same.
const GemmOperand& CLayout(const GemmArgs& args) { return args.beta == 0.0f ? args.d : args.c; }

absl::StatusOr<LtPointer<cublasLtMatrixLayout_t>> MakeLayout(const CublasLt& lt,
                                                             const GemmOperand& operand,
                                                             DType dtype, int64_t rows,
                                                             int64_t columns, int64_t batch_count) {
  cublasLtMatrixLayout_t raw = nullptr;
  TUNESMITH_RETURN_IF_ERROR(
      CublasLtStatus(lt,
                     lt.layout_create(&raw, CudaType(dtype), static_cast<uint64_t>(columns),
                                      static_cast<uint64_t>(rows), operand.row_stride),
                     "cublasLtMatrixLayoutCreate"));
  LtPointer<cublasLtMatrixLayout_t> layout(raw, {lt.layout_destroy});
  const int32_t batch = static_cast<int32_t>(batch_count);
  TUNESMITH_RETURN_IF_ERROR(CublasLtStatus(
      lt, lt.layout_set(raw, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof(batch)),
      "cublasLtMatrixLayoutSetAttribute"));
  TUNESMITH_RETURN_IF_ERROR(
      CublasLtStatus(lt,
                     lt.layout_set(raw, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                   &operand.batch_stride, sizeof(operand.batch_stride)),
                     "cublasLtMatrixLayoutSetAttribute"));
  return layout;
}

absl::StatusOr<LtPointer<cublasLtMatmulDesc_t>> MakeDesc(const CublasLt& lt, const GemmArgs& args) {
  cublasLtMatmulDesc_t raw = nullptr;
  TUNESMITH_RETURN_IF_ERROR(CublasLtStatus(lt, lt.desc_create(&raw, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                                           "cublasLtMatmulDescCreate"));
  LtPointer<cublasLtMatmulDesc_t> desc(raw, {lt.desc_destroy});
  const cublasOperation_t operation_a = Operation(args.transpose_b);
  const cublasOperation_t operation_b = Operation(args.transpose_a);
  TUNESMITH_RETURN_IF_ERROR(CublasLtStatus(
      lt, lt.desc_set(raw, CUBLASLT_MATMUL_DESC_TRANSA, &operation_a, sizeof(operation_a)),
      "cublasLtMatmulDescSetAttribute"));
  TUNESMITH_RETURN_IF_ERROR(CublasLtStatus(
      lt, lt.desc_set(raw, CUBLASLT_MATMUL_DESC_TRANSB, &operation_b, sizeof(operation_b)),
      "cublasLtMatmulDescSetAttribute"));
  if (args.bias == nullptr) return desc;
  const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
  TUNESMITH_RETURN_IF_ERROR(CublasLtStatus(
      lt, lt.desc_set(raw, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue)),
      "cublasLtMatmulDescSetAttribute"));
  TUNESMITH_RETURN_IF_ERROR(SetGemmBias(lt, raw, args.bias));
  return desc;
}

template <typename T>
absl::Status SetPreference(const CublasLt& lt, cublasLtMatmulPreference_t preference,
                           cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  return CublasLtStatus(lt, lt.preference_set(preference, attribute, &value, sizeof(value)),
                        "cublasLtMatmulPreferenceSetAttribute");
}

absl::StatusOr<LtPointer<cublasLtMatmulPreference_t>> MakePreference(const CublasLt& lt,
                                                                     const GemmArgs& args,
                                                                     int64_t workspace_bytes) {
  cublasLtMatmulPreference_t raw = nullptr;
  TUNESMITH_RETURN_IF_ERROR(
      CublasLtStatus(lt, lt.preference_create(&raw), "cublasLtMatmulPreferenceCreate"));
  LtPointer<cublasLtMatmulPreference_t> preference(raw, {lt.preference_destroy});
  absl::Status status = SetPreference(lt, raw, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                      static_cast<uint64_t>(workspace_bytes));
  status.Update(SetPreference(lt, raw, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                              ReductionSchemes(args.output_dtype)));
  // cublasLt assumes 256 bytes unless it is told: heads inside a row are aligned to less.
  status.Update(SetPreference(lt, raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                              AlignmentOf(args.b, args.input_dtype)));
  status.Update(SetPreference(lt, raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                              AlignmentOf(args.a, args.input_dtype)));
  status.Update(SetPreference(lt, raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                              AlignmentOf(CLayout(args), args.output_dtype)));
  status.Update(SetPreference(lt, raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
                              AlignmentOf(args.d, args.output_dtype)));
  TUNESMITH_RETURN_IF_ERROR(status);
  return preference;
}

absl::StatusOr<GemmPlan> Describe(const CublasLt& lt, const GemmArgs& args) {
  GemmPlan plan;
  const int64_t a_rows = args.transpose_a ? args.k : args.m;
  const int64_t a_columns = args.transpose_a ? args.m : args.k;
  const int64_t b_rows = args.transpose_b ? args.n : args.k;
  const int64_t b_columns = args.transpose_b ? args.k : args.n;
  TUNESMITH_ASSIGN_OR_RETURN(plan.desc, MakeDesc(lt, args));
  TUNESMITH_ASSIGN_OR_RETURN(
      plan.a, MakeLayout(lt, args.b, args.input_dtype, b_rows, b_columns, args.batch_count));
  TUNESMITH_ASSIGN_OR_RETURN(
      plan.b, MakeLayout(lt, args.a, args.input_dtype, a_rows, a_columns, args.batch_count));
  TUNESMITH_ASSIGN_OR_RETURN(
      plan.c, MakeLayout(lt, CLayout(args), args.output_dtype, args.m, args.n, args.batch_count));
  TUNESMITH_ASSIGN_OR_RETURN(
      plan.d, MakeLayout(lt, args.d, args.output_dtype, args.m, args.n, args.batch_count));
  return plan;
}

}  // namespace

absl::Status SetGemmBias(const CublasLt& lt, cublasLtMatmulDesc_t desc, const void* bias) {
  return CublasLtStatus(lt,
                        lt.desc_set(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias)),
                        "cublasLtMatmulDescSetAttribute");
}

GemmKey GemmPlans::KeyOf(const GemmArgs& args) {
  const GemmOperand& c = CLayout(args);
  return {args.m,
          args.n,
          args.k,
          args.batch_count,
          static_cast<int64_t>(args.input_dtype),
          static_cast<int64_t>(args.output_dtype),
          args.transpose_a,
          args.transpose_b,
          args.a.row_stride,
          args.a.batch_stride,
          args.b.row_stride,
          args.b.batch_stride,
          c.row_stride,
          c.batch_stride,
          args.d.row_stride,
          args.d.batch_stride,
          AlignmentOf(args.a, args.input_dtype),
          AlignmentOf(args.b, args.input_dtype),
          AlignmentOf(c, args.output_dtype),
          AlignmentOf(args.d, args.output_dtype),
          BiasAlignment(args)};
}

absl::StatusOr<std::optional<GemmPlan>> GemmPlans::Make(cublasLtHandle_t handle,
                                                        const GemmArgs& args,
                                                        int64_t workspace_bytes,
                                                        int candidate_count) const {
  TUNESMITH_ASSIGN_OR_RETURN(GemmPlan plan, Describe(lt_, args));
  TUNESMITH_ASSIGN_OR_RETURN(const auto preference, MakePreference(lt_, args, workspace_bytes));
  std::vector<cublasLtMatmulHeuristicResult_t> found(static_cast<size_t>(candidate_count));
  int found_count = 0;
  const cublasStatus_t status = lt_.get_heuristic(
      handle, plan.desc.get(), plan.a.get(), plan.b.get(), plan.c.get(), plan.d.get(),
      preference.get(), candidate_count, found.data(), &found_count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return std::nullopt;
  TUNESMITH_RETURN_IF_ERROR(CublasLtStatus(lt_, status, "cublasLtMatmulAlgoGetHeuristic"));
  for (int i = 0; i < found_count; ++i) {
    const cublasLtMatmulHeuristicResult_t& result = found[static_cast<size_t>(i)];
    if (result.state == CUBLAS_STATUS_SUCCESS) plan.candidates.push_back(result.algo);
  }
  if (plan.candidates.empty()) return std::nullopt;
  plan.algorithm = plan.candidates[0];
  if (plan.candidates.size() == 1) plan.candidates.clear();
  return plan;
}

absl::StatusOr<GemmPlan*> GemmPlans::Find(cublasLtHandle_t handle, const GemmArgs& args,
                                          int64_t workspace_bytes, int candidate_count) {
  const GemmKey key = KeyOf(args);
  auto it = plans_.find(key);
  if (it == plans_.end()) {
    TUNESMITH_ASSIGN_OR_RETURN(std::optional<GemmPlan> plan,
                               Make(handle, args, workspace_bytes, candidate_count));
    it = plans_.emplace(key, std::move(plan)).first;
  }
  return it->second.has_value() ? &*it->second : nullptr;
}

}  // namespace tunesmith::trainer
