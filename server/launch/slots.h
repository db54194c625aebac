#pragma once

#include <cstdint>
#include <vector>

#include "server/launch/launcher.h"

// Who may run at once on one host. Pure functions of what there is and who is there.
namespace tunesmith::server {

// What a host has for jobs.
struct HostCapacity {
  int64_t gpu_count = 0;
  int64_t cpu_thread_count = 1;
  int64_t host_memory_bytes = 0;
};

// What of it is left when `active` have theirs; never negative.
struct FreeSlots {
  std::vector<bool> gpu_is_free;
  int64_t cpu_thread_count = 0;
  int64_t host_memory_bytes = 0;
};
FreeSlots FreeOf(const HostCapacity& capacity, const std::vector<v1::Job>& active);

// Admits jobs in the order of the queue. A job that must wait for something keeps later jobs from
// taking it: one that waits for GPUs holds back those that want GPUs, one that waits for threads
// those that compute on the CPU, one that waits for memory all. A job that nothing runs beside is
// always admitted, whatever was predicted of its memory. One that wants more GPUs than there are keeps nobody from anything. Of a claim's gpu_indices, those that are
// set are wanted themselves; else any gpu_count.
std::vector<Admission> AdmitInOrder(const HostCapacity& capacity, const std::vector<v1::Job>& queue,
                                    const std::vector<v1::Job>& active);

}  // namespace tunesmith::server
