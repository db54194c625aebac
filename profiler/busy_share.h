#pragma once

#include <cstdint>

namespace tunesmith::profiler {

// The share of their time, 0 to 1, in which `thread_count` threads that have nothing but work did not get a processor: what other processes, or other machines on the same host, take. Takes a third of a second.
double BusyShare(int64_t thread_count);

}  // namespace tunesmith::profiler
