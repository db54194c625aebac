#pragma once

#include <cstdint>
#include <string_view>

namespace tunesmith::profiler {

// Seconds that the threads of this process have been ready to run while others had the processors, summed over the threads that live now, and that a hypervisor took from the host's
// processors, summed over them. Of a difference between two readings, with the same threads, divided by threads and seconds between: the share of their time that others took. 0 where
// the system does not tell.
double WaitedSeconds();

// Of a thread's schedstat: seconds in the queue of a processor. 0 where it cannot be read.
double QueuedSeconds(std::string_view schedstat);
// Of /proc/stat: seconds that a hypervisor took from all processors. 0 where it cannot be read.
double StolenSeconds(std::string_view stat);

// Of a time of which others took that share, what would have remained if they had not: threads that wait do nothing. Of threads that wait more than nine tenths nothing is known.
double OwnShare(double waited_share);

// The share of their time, 0 to 1, that others took from `thread_count` threads of this process since the meter was made.
class WaitMeter {
 public:
  explicit WaitMeter(int64_t thread_count);
  double Share() const;

 private:
  const double thread_count_;
  const double start_;
  const double waited_;
};

}  // namespace tunesmith::profiler
