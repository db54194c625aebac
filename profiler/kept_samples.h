#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "planner/program/program.h"
#include "profiler/op_statistics.h"

// What a calibration has measured so far, in files, so that one that is cut off is taken up again.
namespace tunesmith::profiler {

// What one program showed.
struct Sample {
  std::shared_ptr<const planner::Program> program;
  OpStatistics ops;
  double step_seconds = 0;
  double step_spread = 0;    // longest less shortest, over the median
  double spent_seconds = 0;  // of the budget
  int64_t outside_arena_bytes =
      0;  // resident memory, or a GPU's, beside the arena; 0: not measured
  double waited_share =
      0;  // of the threads' time that other work took, median over the steps that count
  double pace_before_seconds = 0;  // Pace::Measure before and after it; 0: not measured
  double pace_after_seconds = 0;
  bool is_short_run = false;  // not kept: which programs are is known
};

class KeptSamples {
 public:
  // Samples are kept in `directory`, which is made when the first is; empty: nowhere. `fingerprint` and `thread_count`: of what measures. Those of another
  // host or count, of before its last start, or older than six hours, are not taken up: machines change their pace.
  KeptSamples(std::string directory, std::string fingerprint, int64_t thread_count)
      : directory_(std::move(directory)),
        fingerprint_(std::move(fingerprint)),
        thread_count_(thread_count) {}

  // The program's sample, where one is kept that may be taken up. Its step program identifies it.
  std::optional<Sample> Find(const std::shared_ptr<const planner::Program>& program) const;

  // The file appears whole or not at all. Errors as WriteFileAtomically.
  absl::Status Keep(const Sample& sample) const;

 private:
  std::string PathOf(const planner::Program& program) const;

  const std::string directory_;
  const std::string fingerprint_;
  const int64_t thread_count_;
};

// Removes what was kept: the calibration is stored, or what was measured is no good.
void ClearKeptSamples(const std::string& directory);

}  // namespace tunesmith::profiler
