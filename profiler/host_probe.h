#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

// What of a host is in no program: its memory as all processors use it, its disk, and what a process takes.
namespace tunesmith::profiler {

// Resident memory of this process now, bytes; 0 where it cannot be told.
int64_t ResidentBytes();

// The clock of the processors now, mean, hertz; 0 where the system does not tell. Virtual machines are often told their nominal clock.
double ProcessorHertz();

// Of /proc/cpuinfo: the mean of its "cpu MHz", hertz; 0: none.
double HertzOfCpuinfo(const std::string& cpuinfo);

// What all processors together read and write of memory that no cache holds, when each updates its own part: as ranks that share a host do. About a second.
double HostMemoryBytesPerSecond();

// What files of `directory`, which is made where it is absent, take until the disk has them: as checkpoints do. Up to two seconds; leaves nothing there. Errors of the file system.
absl::StatusOr<double> CheckpointBytesPerSecond(const std::string& directory);

}  // namespace tunesmith::profiler
