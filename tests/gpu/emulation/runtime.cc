#include <cuda_runtime.h>
#include <sanitizer/common_interface_defs.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/gpu/emulation/streams.h"

namespace tunesmith::emulation {
namespace {

// An H100's limits, where the documentation of sm_90 gives them.
constexpr int64_t kMaxThreads = 1024;
constexpr int64_t kMaxBlocksX = (int64_t{1} << 31) - 1, kMaxBlocksYz = 65535;
constexpr int64_t kSharedBytes = 48 << 10, kMaxSharedBytes = 227 << 10;
constexpr int64_t kMemoryBytes = int64_t{8} << 30;

std::mutex mutex;  // of all below and of the streams
cudaError_t last_error = cudaSuccess;
std::map<const void*, int64_t> shared_limits;
// Where memory of the device and pinned memory begins, and how much there is.
std::map<std::byte*, size_t> device_memory, pinned_memory;

// As a GPU hands it out: in pages.
constexpr size_t kPageBytes = 2 << 20;
size_t UsedBytes() {
  size_t bytes = 0;
  for (const auto& [data, size] : device_memory)
    bytes += (size + kPageBytes - 1) / kPageBytes * kPageBytes;
  return bytes;
}

std::string& LastFailure() {
  static auto* const text = new std::string;
  return *text;
}

// Of a call: kept for cudaGetErrorString.
cudaError_t Error(cudaError_t error, const std::string& text) {
  LastFailure() = text;
  return error;
}

// What a kernel or a copy did wrong when it ran; the next call that waits tells it.
cudaError_t TakeLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

bool Holds(const std::map<std::byte*, size_t>& memory, const void* address) {
  const auto* const at = static_cast<const std::byte*>(address);
  auto it = memory.upper_bound(const_cast<std::byte*>(at));
  if (it == memory.begin()) return false;
  --it;
  return at < it->first + it->second;
}

bool IsPageable(const void* address) {
  return !Holds(device_memory, address) && !Holds(pinned_memory, address);
}

// From the symbols of this binary. Several names may follow one another: of what was inlined there, and at last the function itself.
std::string NameOf(const void* kernel) {
  char text[4000] = "";
  // The address after the function's first byte: addresses of returns are asked for.
  __sanitizer_symbolize_pc(const_cast<std::byte*>(static_cast<const std::byte*>(kernel) + 1), "%f",
                           text, sizeof(text) - 1);
  const char* last = text;
  for (const char* name = text; *name != '\0'; name += std::strlen(name) + 1) last = name;
  return last;
}

Extent ExtentOf(const dim3& d) { return {d.x, d.y, d.z}; }

std::string ProblemWith(const Extent& blocks, const Extent& threads, int64_t shared_bytes,
                        int64_t shared_limit) {
  if (blocks.count() == 0 || threads.count() == 0) return "an empty grid or block";
  if (threads.count() > kMaxThreads) return "more than 1024 threads in a block";
  if (blocks.x > kMaxBlocksX || blocks.y > kMaxBlocksYz || blocks.z > kMaxBlocksYz)
    return "a grid that is too large";
  if (shared_bytes > shared_limit)
    return std::to_string(shared_bytes) + " bytes of dynamic shared memory where " +
           std::to_string(shared_limit) + " are allowed";
  return "";
}

void EnterThread(const Extent& thread, const Extent& block) {
  const auto index = [](const Extent& e) {
    return uint3{static_cast<unsigned int>(e.x), static_cast<unsigned int>(e.y),
                 static_cast<unsigned int>(e.z)};
  };
  threadIdx = index(thread);
  blockIdx = index(block);
}

}  // namespace

cudaError_t LaunchGrid(const cudaLaunchConfig_t& config, const void* kernel,
                       std::function<void()> body) {
  const std::lock_guard lock(mutex);
  const auto limit = shared_limits.find(kernel);
  const bool asked = limit != shared_limits.end();
  const Grid grid = {.kernel = NameOf(kernel),
                     .blocks = ExtentOf(config.gridDim),
                     .threads = ExtentOf(config.blockDim),
                     .shared_bytes = static_cast<int64_t>(config.dynamicSmemBytes),
                     .shared_limit = asked ? kMaxSharedBytes : kSharedBytes,
                     .body = std::move(body),
                     .enter = EnterThread};
  const std::string problem = ProblemWith(grid.blocks, grid.threads, grid.shared_bytes,
                                          asked ? limit->second : kSharedBytes);
  if (!problem.empty())
    return Error(cudaErrorInvalidConfiguration, "kernel " + grid.kernel + ": " + problem);
  Put(config.stream, [grid, config] {
    gridDim = config.gridDim;
    blockDim = config.blockDim;
    const std::string failure = RunGrid(grid);
    if (!failure.empty()) last_error = Error(cudaErrorLaunchFailure, failure);
  });
  return config.stream == nullptr ? TakeLastError() : cudaSuccess;
}

cudaError_t SetSharedBytes(const void* kernel, int64_t bytes) {
  const std::lock_guard lock(mutex);
  if (bytes > kMaxSharedBytes)
    return Error(cudaErrorInvalidValue, "more shared memory than a block may have");
  shared_limits[kernel] = bytes;
  return cudaSuccess;
}

}  // namespace tunesmith::emulation

using namespace tunesmith::emulation;

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {.name = "emulated sm_90",
                 .uuid = {},
                 .major = 9,
                 .minor = 0,
                 .multiProcessorCount = 2,
                 .l2CacheSize = 1 << 20};
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = tunesmith::emulation::kMaxSharedBytes;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  const std::lock_guard lock(mutex);
  *total_bytes = kMemoryBytes;
  *free_bytes = kMemoryBytes - UsedBytes();
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  const std::lock_guard lock(mutex);
  return TakeLastError();
}
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorLaunchFailure ? "launch failure" : "CUDA error";
}
const char* cudaGetErrorString(cudaError_t) { return tunesmith::emulation::LastFailure().c_str(); }

namespace {

bool Captures(const EmulatedStream* stream) {
  return stream != nullptr && stream->captured != nullptr;
}

// Where nothing was written there are NaNs.
cudaError_t Allocate(std::map<std::byte*, size_t>& memory, void** data, size_t bytes) {
  const std::lock_guard lock(mutex);
  if (bytes > static_cast<size_t>(kMemoryBytes) || posix_memalign(data, 256, bytes) != 0)
    return Error(cudaErrorMemoryAllocation, "out of memory");
  std::memset(*data, 0xff, bytes);
  memory[static_cast<std::byte*>(*data)] = bytes;
  return cudaSuccess;
}

cudaError_t Free(std::map<std::byte*, size_t>& memory, void* data) {
  const std::lock_guard lock(mutex);
  RunAllStreams();
  if (memory.erase(static_cast<std::byte*>(data)) == 0)
    return Error(cudaErrorInvalidValue, "freed memory that was not allocated");
  std::free(data);
  return TakeLastError();
}

}  // namespace

cudaError_t cudaMalloc(void** data, size_t bytes) { return Allocate(device_memory, data, bytes); }
cudaError_t cudaFree(void* data) { return Free(device_memory, data); }
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned int) {
  // A host that locks none, for tests of what happens then.
  if (std::getenv("TUNESMITH_EMULATED_HOST_LOCKS_NONE") != nullptr)
    return Error(cudaErrorMemoryAllocation, "the host locks no memory");
  return Allocate(pinned_memory, data, bytes);
}
cudaError_t cudaFreeHost(void* data) { return Free(pinned_memory, data); }
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (IsPageable(data)) return Error(cudaErrorInvalidValue, "cudaMemset of the host's memory");
  Put(stream, [=] { std::memset(data, value, bytes); });
  return cudaSuccess;
}

// As CUDA does: what comes from pageable memory is taken at once, and what goes there is there when the call returns.
cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if ((to_device && !Holds(device_memory, target)) ||
      (from_device && !Holds(device_memory, source)))
    return Error(cudaErrorInvalidValue, "cudaMemcpy between other memories than it says");
  if (Captures(stream) && (IsPageable(source) || IsPageable(target)))
    return Error(cudaErrorStreamCaptureUnsupported, "a copy of pageable memory in a capture");
  if (IsPageable(source)) {
    const auto* const begin = static_cast<const std::byte*>(source);
    auto staged = std::make_shared<std::vector<std::byte>>(begin, begin + bytes);
    Put(stream, [=] { std::memcpy(target, staged->data(), bytes); });
  } else {
    Put(stream, [=] { std::memcpy(target, source, bytes); });
  }
  if (!IsPageable(target) || stream == nullptr) return cudaSuccess;
  RunAll(stream);
  return TakeLastError();
}

void tunesmith::emulation::PutTask(EmulatedStream* stream, std::function<void()> task) {
  const std::lock_guard lock(mutex);
  Put(stream, std::move(task));
}

// A function that calls CUDA never ends: it may not.
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  const std::lock_guard lock(mutex);
  Put(stream, [=] { function(data); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  const std::lock_guard lock(mutex);
  *stream = MakeStream();
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  UnmakeStream(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (Captures(stream)) return Error(cudaErrorStreamCaptureUnsupported, "a wait in a capture");
  RunAll(stream);
  return TakeLastError();
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  const std::lock_guard lock(mutex);
  if (Captures(stream)) return Error(cudaErrorStreamCaptureUnsupported, "an event in a capture");
  if (event->stream != nullptr) {
    Put(stream, [other = event->stream, position = event->position] { RunUntil(other, position); });
  }
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new EmulatedEvent;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::lock_guard lock(mutex);
  RunAllStreams();
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (Captures(stream)) return Error(cudaErrorStreamCaptureUnsupported, "an event in a capture");
  event->stream = stream;
  event->position = stream->queued_count + 1;
  Put(stream, [event] { event->reached = std::chrono::steady_clock::now(); });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(mutex);
  if (event->stream != nullptr) RunUntil(event->stream, event->position);
  return TakeLastError();
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
  *milliseconds = std::chrono::duration<float, std::milli>(stop->reached - start->reached).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const std::lock_guard lock(mutex);
  if (Captures(stream)) return Error(cudaErrorInvalidValue, "a capture within a capture");
  stream->captured = new EmulatedGraph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard lock(mutex);
  if (!Captures(stream)) return Error(cudaErrorInvalidValue, "no capture to end");
  *graph = std::exchange(stream->captured, nullptr);
  return TakeLastError();
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = new EmulatedGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  if (Captures(stream)) return Error(cudaErrorInvalidValue, "a graph in a capture");
  for (const auto& task : executable->tasks) Put(stream, task);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

// ---- Votes --------------------------------------------------------------------------------------

namespace {

struct Ballot {
  bool predicate;
  unsigned int result;
};

void CompleteBallot(void* const* lanes, uint32_t mask) {
  unsigned int votes = 0;
  for (int lane = 0; lane < tunesmith::emulation::kWarpLanes; ++lane) {
    if ((mask >> lane & 1u) != 0 && static_cast<Ballot*>(lanes[lane])->predicate)
      votes |= 1u << lane;
  }
  for (int lane = 0; lane < tunesmith::emulation::kWarpLanes; ++lane) {
    if ((mask >> lane & 1u) != 0) static_cast<Ballot*>(lanes[lane])->result = votes;
  }
}

}  // namespace

unsigned int __ballot_sync(unsigned int mask, int predicate, tunesmith::emulation::Site site) {
  Ballot ballot = {predicate != 0, 0};
  tunesmith::emulation::Meet("__ballot_sync", mask, &ballot, CompleteBallot, site);
  return ballot.result;
}
