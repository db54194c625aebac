#include "server/launch/slots.h"

#include <algorithm>

#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith::server {
namespace {

void Take(const v1::ResourceClaim& claim, FreeSlots& free) {
  for (const int64_t index : claim.gpu_indices()) {
    if (index >= 0 && index < static_cast<int64_t>(free.gpu_is_free.size()))
      free.gpu_is_free[static_cast<size_t>(index)] = false;
  }
  free.cpu_thread_count = std::max<int64_t>(0, free.cpu_thread_count - claim.cpu_thread_count());
  free.host_memory_bytes = std::max<int64_t>(0, free.host_memory_bytes - claim.host_memory_bytes());
}

// The GPUs that the claim would get: fewer than it wants when they are not free.
std::vector<int64_t> ChooseGpus(const v1::ResourceClaim& claim, const FreeSlots& free) {
  std::vector<int64_t> chosen;
  const auto is_free = [&](int64_t index) {
    return index >= 0 && index < static_cast<int64_t>(free.gpu_is_free.size()) &&
           free.gpu_is_free[static_cast<size_t>(index)];
  };
  for (const int64_t index : claim.gpu_indices()) {
    if (is_free(index)) chosen.push_back(index);
  }
  if (claim.gpu_indices_size() > 0) return chosen;
  for (int64_t i = 0; i < static_cast<int64_t>(free.gpu_is_free.size()); ++i) {
    if (static_cast<int64_t>(chosen.size()) < claim.gpu_count() && is_free(i)) chosen.push_back(i);
  }
  return chosen;
}

// What jobs that wait already hold back.
struct HeldBack {
  bool gpus = false;
  bool threads = false;
  bool memory = false;
};

class Admitter {
 public:
  Admitter(const HostCapacity& capacity, const std::vector<v1::Job>& active)
      : capacity_(capacity), free_(FreeOf(capacity, active)), anyone_runs_(!active.empty()) {}

  Admission Admit(const v1::ResourceClaim& claim) {
    if (const std::string reason = ReasonToWait(claim); !reason.empty())
      return {.admitted = false, .reason = reason};
    v1::ResourceClaim taken = claim;
    taken.clear_gpu_indices();
    Admission admission{.admitted = true, .reason = {}};
    admission.gpu_indices = ChooseGpus(claim, free_);
    for (const int64_t index : admission.gpu_indices) taken.add_gpu_indices(index);
    Take(taken, free_);
    anyone_runs_ = true;
    return admission;
  }

 private:
  // Fewer than when the job was taken in: the server was started anew with fewer.
  bool CanNeverHaveItsGpus(const v1::ResourceClaim& claim) const {
    const auto is_absent = [&](int64_t index) { return index >= capacity_.gpu_count; };
    return claim.gpu_count() > capacity_.gpu_count ||
           std::any_of(claim.gpu_indices().begin(), claim.gpu_indices().end(), is_absent);
  }

  std::string ReasonToWait(const v1::ResourceClaim& claim) {
    if (CanNeverHaveItsGpus(claim))
      return StrCat("wants ", claim.gpu_count(), " GPUs, and this host now has ",
                    capacity_.gpu_count, "; cancel it, or start tunesmithd with --gpu-count");
    if (claim.gpu_count() > 0 && held_back_.gpus) return "waits behind another job for GPUs";
    if (claim.cpu_thread_count() > 0 && held_back_.threads)
      return "waits behind another job for threads";
    if (held_back_.memory) return "waits behind another job for memory of the host";
    const auto gpus = static_cast<int64_t>(ChooseGpus(claim, free_).size());
    if (gpus < claim.gpu_count()) {
      held_back_.gpus = true;
      return StrCat("waits for ", claim.gpu_count(), " GPUs; ", gpus,
                    " of those it can use are free");
    }
    if (!anyone_runs_) return "";
    if (claim.cpu_thread_count() > free_.cpu_thread_count) {
      held_back_.threads = true;
      return StrCat("waits for ", claim.cpu_thread_count(), " threads; ", free_.cpu_thread_count,
                    " are free");
    }
    if (claim.host_memory_bytes() > free_.host_memory_bytes) {
      held_back_.memory = true;
      return StrCat("waits for ", FormatBytes(claim.host_memory_bytes()), " of the host's memory; ",
                    FormatBytes(free_.host_memory_bytes), " are free");
    }
    return "";
  }

  const HostCapacity capacity_;
  FreeSlots free_;
  HeldBack held_back_;
  bool anyone_runs_;
};

}  // namespace

FreeSlots FreeOf(const HostCapacity& capacity, const std::vector<v1::Job>& active) {
  FreeSlots free{.gpu_is_free = std::vector<bool>(static_cast<size_t>(capacity.gpu_count), true),
                 .cpu_thread_count = capacity.cpu_thread_count,
                 .host_memory_bytes = capacity.host_memory_bytes};
  for (const v1::Job& job : active) Take(job.claim(), free);
  return free;
}

std::vector<Admission> AdmitInOrder(const HostCapacity& capacity, const std::vector<v1::Job>& queue,
                                    const std::vector<v1::Job>& active) {
  Admitter admitter(capacity, active);
  std::vector<Admission> admissions;
  for (const v1::Job& job : queue) admissions.push_back(admitter.Admit(job.claim()));
  return admissions;
}

}  // namespace tunesmith::server
