#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtimes/memory.h"
#include "runtimes/time.h"
#include "tests/benchmarks/published/rows.h"

// A measurement beside its prediction.
namespace tunesmith::published {

enum class Kind { kAllocated, kReserved, kProcess, kAmbiguous, kTime, kTimeElsewhere };
inline constexpr int kKindCount = 6;
std::string_view KindName(Kind kind);

struct Judged {
  std::string id;
  std::string source;
  Kind kind = Kind::kAllocated;
  double predicted = 0;  // bytes or seconds
  double measured = 0;
  bool inside_interval = false;
  bool held_out = false;  // no constant that this prediction rests on was set from the row's table
  // Beside memory: other estimators on the same row, bytes.
  double deepspeed = 0, accelerate = 0, eighteen = 0;
  std::string setup;
  runtimes::MemoryPrediction memory = {};

  double error() const { return predicted / measured - 1; }
};

struct Fit {
  std::string id;
  std::string source;
  bool fits = false;
  bool predicted = false;
};

struct LeftOut {
  std::string reason;
  std::string id;
};

struct Judgement {
  std::vector<Judged> judged;
  std::vector<Fit> fits;
  std::vector<LeftOut> left_out;
};

// All rows. A row may give several measurements; each that is not used is left out with its reason.
Judgement JudgeRows(const std::vector<Row>& rows);

}  // namespace tunesmith::published
