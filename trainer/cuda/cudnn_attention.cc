#include "trainer/cuda/cudnn_attention.h"

#include <type_traits>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/cuda/attention_plans.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/document_ends.h"

namespace tunesmith::trainer {
namespace {

constexpr int64_t kWorkspaceAlignmentBytes = 256;
constexpr int64_t kTensorAlignmentBytes = 16;

struct HandleDeleter {
  cudnnStatus_t (*destroy)(cudnnHandle_t) = nullptr;
  void operator()(cudnnHandle_t handle) const { destroy(handle); }
};
using Handle = std::unique_ptr<std::remove_pointer_t<cudnnHandle_t>, HandleDeleter>;

absl::StatusOr<Handle> MakeHandle(const Cudnn& cudnn, cudaStream_t stream) {
  cudnnHandle_t raw = nullptr;
  TUNESMITH_RETURN_IF_ERROR(CudnnStatus(cudnn, cudnn.create(&raw), "cudnnCreate"));
  Handle handle(raw, {cudnn.destroy});
  TUNESMITH_RETURN_IF_ERROR(CudnnStatus(cudnn, cudnn.set_stream(raw, stream), "cudnnSetStream"));
  return handle;
}

bool IsAligned(const void* address, int64_t bytes) {
  return reinterpret_cast<intptr_t>(address) % bytes == 0;
}

// The addresses of an execution, under the ids of the graph.
class Addresses {
 public:
  void Add(AttentionId id, const void* address) {
    ids_.push_back(static_cast<int64_t>(id));
    // cuDNN writes to what the graph has as results alone.
    addresses_.push_back(const_cast<void*>(address));
  }

  // A tensor of `count` elements, or the error of the first that is not.
  void AddTensor(AttentionId id, const char* name, const Tensor& tensor, DType dtype,
                 int64_t count) {
    if (tensor.dtype != dtype || tensor.element_count() != count ||
        !IsAligned(tensor.data, kTensorAlignmentBytes)) {
      status_.Update(absl::InvalidArgumentError(
          StrCat("cuDNN's attention: ", name, " has ", tensor.element_count(), " elements of ",
                 DTypeName(tensor.dtype), " and must have ", count, " of ", DTypeName(dtype),
                 ", aligned to ", kTensorAlignmentBytes, " bytes")));
    }
    Add(id, tensor.data);
  }

  absl::StatusOr<CudnnPointer> Pack(const Cudnn& cudnn, const void* workspace) const {
    TUNESMITH_RETURN_IF_ERROR(status_);
    const auto count = static_cast<int64_t>(ids_.size());
    TUNESMITH_ASSIGN_OR_RETURN(CudnnPointer pack,
                               MakeCudnnDescriptor(cudnn, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR));
    TUNESMITH_RETURN_IF_ERROR(SetCudnnValues(cudnn, pack.get(), CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS,
                                             CUDNN_TYPE_INT64, count, ids_.data()));
    TUNESMITH_RETURN_IF_ERROR(SetCudnnValues(cudnn, pack.get(),
                                             CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                             CUDNN_TYPE_VOID_PTR, count, addresses_.data()));
    TUNESMITH_RETURN_IF_ERROR(SetCudnnValue(cudnn, pack.get(), CUDNN_ATTR_VARIANT_PACK_WORKSPACE,
                                            CUDNN_TYPE_VOID_PTR, workspace));
    TUNESMITH_RETURN_IF_ERROR(CudnnStatus(cudnn, cudnn.descriptor_finalize(pack.get()),
                                          "cudnnBackendFinalize of addresses"));
    return pack;
  }

 private:
  absl::Status status_;
  std::vector<int64_t> ids_;
  std::vector<void*> addresses_;
};

}  // namespace

struct CudnnAttention::Impl {
  explicit Impl(const Cudnn& library) : cudnn(library) {}

  int64_t query_elements() const { return plans.shape.query_count() * plans.shape.head_size; }
  int64_t key_elements() const {
    return plans.shape.token_count() * plans.shape.kv_head_count * plans.shape.head_size;
  }

  // The workspace's address. RESOURCE_EXHAUSTED where it is too small.
  absl::StatusOr<std::byte*> WorkspaceOf(const Tensor& tensor, int64_t needed_bytes) const;
  // What both directions have: tensors, values, and the ends of documents, which are computed here. `args`: of either.
  template <typename Args>
  absl::Status AddCommon(CudaContext& cuda, const Args& args, std::byte* ends,
                         Addresses& addresses) const;
  absl::Status Execute(const CudnnPlan& plan, const Addresses& addresses,
                       const void* workspace) const;

  const Cudnn& cudnn;
  Handle handle;
  AttentionPlans plans;
  // Read by cuDNN at each execution.
  float scale = 1.0f;
  float masked = kMaskedScore;
  float one = 1.0f;
  int32_t window = 0;
};

absl::StatusOr<std::byte*> CudnnAttention::Impl::WorkspaceOf(const Tensor& tensor,
                                                             int64_t needed_bytes) const {
  const int64_t bytes = tensor.element_count() * SizeOf(tensor.dtype);
  if (bytes < needed_bytes) {
    return absl::ResourceExhaustedError(StrCat("cuDNN's attention needs a workspace of ",
                                               needed_bytes, " bytes and is given ", bytes));
  }
  if (!IsAligned(tensor.data, kWorkspaceAlignmentBytes)) {
    return absl::InvalidArgumentError(
        StrCat("the workspace of cuDNN's attention must be aligned to ", kWorkspaceAlignmentBytes,
               " bytes"));
  }
  return tensor.as<std::byte>();
}

template <typename Args>
absl::Status CudnnAttention::Impl::AddCommon(CudaContext& cuda, const Args& args, std::byte* ends,
                                             Addresses& addresses) const {
  const Tensor& document_starts = args.document_starts;
  addresses.AddTensor(AttentionId::kQ, "q", args.q, DType::kBF16, query_elements());
  addresses.AddTensor(AttentionId::kK, "k", args.k, DType::kBF16, key_elements());
  addresses.AddTensor(AttentionId::kV, "v", args.v, DType::kBF16, key_elements());
  addresses.AddTensor(AttentionId::kO, "o", args.o, DType::kBF16, query_elements());
  addresses.AddTensor(AttentionId::kLogSumExp, "log_sum_exp", args.log_sum_exp, DType::kF32,
                      plans.shape.query_count());
  addresses.Add(AttentionId::kScale, &scale);
  addresses.Add(AttentionId::kMasked, &masked);
  if (plans.shape.window > 0) addresses.Add(AttentionId::kWindow, &window);
  if (!plans.shape.documents) return absl::OkStatus();
  if (document_starts.dtype != DType::kI32 ||
      document_starts.element_count() != plans.shape.token_count()) {
    return absl::InvalidArgumentError(
        StrCat("cuDNN's attention: document_starts has ", document_starts.element_count(),
               " elements and must have ", plans.shape.token_count(), " of i32"));
  }
  addresses.Add(AttentionId::kDocumentEnds, ends);
  return DocumentEnds(cuda, document_starts, plans.shape.context, reinterpret_cast<int32_t*>(ends));
}

absl::Status CudnnAttention::Impl::Execute(const CudnnPlan& plan, const Addresses& addresses,
                                           const void* workspace) const {
  TUNESMITH_ASSIGN_OR_RETURN(const CudnnPointer pack, addresses.Pack(cudnn, workspace));
  return CudnnStatus(cudnn, cudnn.execute(handle.get(), plan.plan.get(), pack.get()),
                     "cudnnBackendExecute");
}

absl::Status FindCudnn() { return LoadCudnn().status(); }

CudnnAttention::CudnnAttention(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CudnnAttention::~CudnnAttention() = default;

absl::StatusOr<std::unique_ptr<CudnnAttention>> CudnnAttention::Create(
    CudaContext& cuda, const CudnnAttentionShape& shape) {
  TUNESMITH_ASSIGN_OR_RETURN(const Cudnn* cudnn, LoadCudnn());
  TUNESMITH_RETURN_IF_ERROR(cuda.MakeCurrent());
  auto impl = std::make_unique<Impl>(*cudnn);
  TUNESMITH_ASSIGN_OR_RETURN(impl->handle, MakeHandle(*cudnn, cuda.impl().stream.get()));
  TUNESMITH_ASSIGN_OR_RETURN(
      impl->plans, MakeAttentionPlans(*cudnn, shape, {.handle = impl->handle.get()},
                                      PlannedWorkspaces(shape, cuda.info().compute_capability)));
  impl->scale = static_cast<float>(shape.attention.scale);
  impl->window = static_cast<int32_t>(shape.attention.window);
  return absl::WrapUnique(new CudnnAttention(std::move(impl)));
}

int64_t CudnnAttention::forward_workspace_bytes() const {
  return impl_->plans.forward_workspace_bytes();
}

int64_t CudnnAttention::backward_workspace_bytes() const {
  return impl_->plans.backward_workspace_bytes();
}

absl::Status CudnnAttention::Forward(CudaContext& cuda, const FlashAttentionArgs& args) const {
  TUNESMITH_ASSIGN_OR_RETURN(std::byte* const workspace,
                             impl_->WorkspaceOf(args.workspace, forward_workspace_bytes()));
  const planner::CudnnWorkspace& parts = impl_->plans.workspaces.forward;
  Addresses addresses;
  TUNESMITH_RETURN_IF_ERROR(
      impl_->AddCommon(cuda, args, workspace + parts.document_ends, addresses));
  return impl_->Execute(impl_->plans.forward, addresses, workspace + parts.cudnn);
}

absl::Status CudnnAttention::Backward(CudaContext& cuda,
                                      const FlashAttentionBackwardArgs& args) const {
  TUNESMITH_ASSIGN_OR_RETURN(std::byte* const workspace,
                             impl_->WorkspaceOf(args.workspace, backward_workspace_bytes()));
  const planner::CudnnWorkspace& parts = impl_->plans.workspaces.backward;
  const int64_t queries = impl_->query_elements(), keys = impl_->key_elements();
  Addresses addresses;
  addresses.AddTensor(AttentionId::kDO, "d_o", args.d_o, DType::kBF16, queries);
  addresses.AddTensor(AttentionId::kDQ, "dq", args.dq, DType::kBF16, queries);
  addresses.AddTensor(AttentionId::kDK, "dk", args.dk, DType::kBF16, keys);
  addresses.AddTensor(AttentionId::kDV, "dv", args.dv, DType::kBF16, keys);
  addresses.Add(AttentionId::kDeltas, workspace + parts.deltas);
  addresses.Add(AttentionId::kDQSums, workspace + parts.dq_sums);
  addresses.Add(AttentionId::kOne, &impl_->one);
  TUNESMITH_RETURN_IF_ERROR(
      impl_->AddCommon(cuda, args, workspace + parts.document_ends, addresses));
  return impl_->Execute(impl_->plans.backward, addresses, workspace + parts.cudnn);
}

}  // namespace tunesmith::trainer
