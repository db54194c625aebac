#include "trainer/open_device.h"

#include <algorithm>
#include <thread>

#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "trainer/cuda/device_collectives.h"

namespace tunesmith::trainer {
namespace {

constexpr int64_t kMostThreads = 512;
constexpr std::string_view kCudaPrefix = "cuda:";

}  // namespace

absl::StatusOr<OpenDevice> OpenDevice::Open(std::string_view name, int64_t thread_count,
                                            Communicator* comm) {
  OpenDevice device;
  const int64_t processors = std::max<int64_t>(1, std::thread::hardware_concurrency());
  device.threads_ = std::make_unique<ThreadPool>(static_cast<int>(
      std::clamp<int64_t>(thread_count > 0 ? thread_count : processors, 1, kMostThreads)));
  if (name == "cpu" || name.empty()) {
    device.context_ = {
        .device = planner::BackendKind::kCpu, .threads = device.threads_.get(), .comm = comm};
    return device;
  }
  int64_t index = 0;
  if (name.substr(0, kCudaPrefix.size()) != kCudaPrefix ||
      !ParseInt64(name.substr(kCudaPrefix.size()), &index) || index < 0 || index > 1023)
    return absl::InvalidArgumentError(
        StrCat("device '", name, "' is not known; give cpu or cuda:N, e.g. cuda:0"));
  TUNESMITH_ASSIGN_OR_RETURN(device.cuda_,
                             CudaContext::Create({.device = static_cast<int>(index)}));
  if (comm != nullptr && comm->size() > 1) {
    TUNESMITH_ASSIGN_OR_RETURN(device.collectives_, OpenDeviceCollectives(*device.cuda_, *comm));
  }
  device.context_ = {.device = planner::BackendKind::kCuda,
                     .threads = device.threads_.get(),
                     .cuda = device.cuda_.get(),
                     .comm = comm,
                     .collectives = device.collectives_.get()};
  return device;
}

}  // namespace tunesmith::trainer
