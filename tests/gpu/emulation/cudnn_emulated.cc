// cuDNN's backend where CUDA is emulated: it takes every graph by one engine, which computes it operation by operation (cudnn_interpreter.h) as a task of its stream. It
// knows nothing of patterns and of what devices support; that is asked of cuDNN itself in tests/trainer/cuda/cudnn_plans_test.cc. Its workspace holds nothing, and
// is overwritten before and after, so that what else lies there shows. With TUNESMITH_EMULATED_CUDNN_COMPILES_NONE set it has no compiler. For tests.
#include <cuda_runtime.h>
#include <cudnn_graph.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "tests/gpu/emulation/cudnn_interpreter.h"

using tunesmith::emulation::Descriptor;

namespace {

constexpr int64_t kWorkspaceBytes = 1000;

size_t SizeOfType(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
      return 1;
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
      return 8;
    default:
      return sizeof(int);  // enumerations
  }
}

Descriptor& At(cudnnBackendDescriptor_t descriptor) {
  return *static_cast<Descriptor*>(descriptor);
}

template <typename T>
void Put(void* out, T value) {
  std::memcpy(out, &value, sizeof(value));
}

struct Task {
  const Descriptor* graph;
  std::map<int64_t, std::byte*> addresses;
  std::vector<float> values;  // a copy of those that the host gave
  std::byte* workspace;

  void Run() {
    std::memset(workspace, 0xff, kWorkspaceBytes);
    tunesmith::emulation::Interpret(*graph, addresses);
    std::memset(workspace, 0xff, kWorkspaceBytes);
  }
};

// The values that operations take from the host are read when the graph is queued, not when it runs.
void CopyValues(Task& task) {
  constexpr size_t kMost = 16;
  task.values.reserve(kMost);
  const auto copy = [&](const Descriptor* tensor) {
    if (!tensor->Has(CUDNN_ATTR_TENSOR_IS_BY_VALUE)) return;
    std::byte*& address = task.addresses.at(tensor->One<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID));
    const auto* const first = reinterpret_cast<std::byte*>(task.values.data());
    if (address >= first && address < first + kMost * sizeof(float)) return;  // met before
    task.values.emplace_back();
    std::memcpy(&task.values.back(), address, sizeof(float));
    address = reinterpret_cast<std::byte*>(&task.values.back());
  };
  for (const Descriptor* op : task.graph->All<Descriptor*>(CUDNN_ATTR_OPERATIONGRAPH_OPS))
    if (op->Has(CUDNN_ATTR_OPERATION_POINTWISE_BDESC))
      copy(op->Part(CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
}

}  // namespace

struct cudnnContext {
  cudaStream_t stream = nullptr;
};

extern "C" {

size_t cudnnGetVersion() { return CUDNN_VERSION; }
const char* cudnnGetErrorString(cudnnStatus_t) { return "an error of the emulation"; }
void cudnnGetLastErrorString(char* message, size_t max_size) {
  if (max_size > 0) message[0] = '\0';
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = new cudnnContext;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  *descriptor = new Descriptor{.type = type, .attributes = {}};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete &At(descriptor);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  if (At(descriptor).type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR &&
      std::getenv("TUNESMITH_EMULATED_CUDNN_COMPILES_NONE") != nullptr)
    return CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void* values) {
  const auto* const first = static_cast<const std::byte*>(values);
  At(descriptor)
      .attributes[name]
      .assign(first, first + static_cast<size_t>(count) * SizeOfType(type));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t, int64_t asked, int64_t* count,
                                       void* values) {
  *count = 1;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) Put(values, kWorkspaceBytes);
  if (name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX) Put(values, int64_t{0});
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && asked > 0) {
    const auto config = *static_cast<cudnnBackendDescriptor_t*>(values);
    At(config).attributes = At(descriptor).attributes;  // the graph among them
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack) {
  const Descriptor& config = *At(plan).Part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  auto task = std::make_unique<Task>();
  task->graph = config.Part(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  const auto ids = At(pack).All<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto addresses = At(pack).All<std::byte*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  for (size_t i = 0; i < ids.size(); ++i) task->addresses[ids[i]] = addresses[i];
  task->workspace = At(pack).One<std::byte*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  CopyValues(*task);
  const auto run = [](void* data) { std::unique_ptr<Task>(static_cast<Task*>(data))->Run(); };
  if (cudaLaunchHostFunc(handle->stream, run, task.release()) != cudaSuccess)
    return CUDNN_STATUS_EXECUTION_FAILED;
  return CUDNN_STATUS_SUCCESS;
}

}  // extern "C"
