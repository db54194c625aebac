#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "planner/model/mix.h"

// What the planner says of one mix. Plain data.
namespace tunesmith::planner {

// What a byte of the arena is for. The classes partition the arena's peak.
enum class MemoryClass {
  kWeights,
  kGradients,
  kOptimizer,
  kActivations,
  kLogits,
  kWorkspace,
  kCommunication,
  kInputs
};
inline constexpr int kMemoryClassCount = 8;
std::string_view MemoryClassName(MemoryClass memory_class);  // "weights", as in JSON and tables

// The class that takes most.
MemoryClass LargestClass(const std::array<int64_t, kMemoryClassCount>& class_bytes);

// Where a number comes from, best first.
enum class Evidence { kMeasuredHere, kMeasuredOnKind, kDatasheet };
std::string_view EvidenceName(
    Evidence evidence);  // "measured here", "measured on this GPU kind", "datasheet"

// What one kind of instant needs of the device: "forward of layer 31", "loss", "optimizer step".
struct InstantBytes {
  std::string name;
  int64_t bytes = 0;

  bool operator==(const InstantBytes&) const = default;
};

struct MemoryPrediction {
  int64_t arena_bytes = 0;          // the one allocation, per device: exact by construction
  int64_t outside_arena_bytes = 0;  // context, library handles: calibrated or assumed
  int64_t total_bytes = 0;          // arena + outside
  int64_t budget_bytes = 0;         // what the device offers
  std::array<int64_t, kMemoryClassCount> class_bytes =
      {};  // at the binding instant; sums to arena_bytes
  std::string binding_instant =
      {};  // "backward of layer 29", "optimizer step", "evaluate": the instant whose need is the arena's size
  // What each kind of instant needs of the device's arena, in the order of a job; "load" first.
  std::vector<InstantBytes> instants = {};
  // Host memory of the process, for devices that have a memory of their own; on a CPU it is part of total_bytes.
  int64_t pinned_bytes = 0;  // the host's arena: layer inputs on the host rung
  int64_t host_bytes =
      0;  // pinned, the process itself, and the largest tensor while it is loaded and converted
  int64_t pinned_budget_bytes = 0;  // 0: not limited
  int64_t host_budget_bytes = 0;    // 0: not limited
};

// A memory that a mix takes more of than there is.
struct Shortage {
  std::string_view name;     // "memory" of the device, "host memory", "page-locked memory"
  int64_t needed_bytes = 0;  // per device, whichever it is
  int64_t available_bytes = 0;
};
inline int64_t MissingBytes(const Shortage& s) { return s.needed_bytes - s.available_bytes; }
// What follows an amount: " of host memory"; nothing of the device's.
std::string OfMemory(const Shortage& shortage);
// The device's first, then the host's; empty: the mix fits.
std::vector<Shortage> ShortagesOf(const MemoryPrediction& memory);

struct TimePrediction {
  int64_t step_picoseconds = 0;  // one optimizer step, integer so that equality is ==
  double step_seconds = 0;       // the same for people
  double low_seconds = 0;        // 90 % interval
  double high_seconds = 0;
  double compute_seconds = 0;                // busy time of the compute stream
  double copy_seconds = 0;                   // busy time of the streams between device and host
  double exposed_copy_seconds = 0;           // of which compute waits for
  double communication_seconds = 0;          // busy time of the communication stream
  double exposed_communication_seconds = 0;  // of which not hidden behind compute
  double tokens_per_second = 0;              // over all devices; padding is not counted
  double save_seconds = 0;                   // until a checkpoint is on the disk; 0: not measured
  double total_hours =
      0;  // for the whole data set and the checkpoint at its end; 0 when its size was not given
  Evidence evidence = Evidence::kDatasheet;
  std::string note =
      {};  // anything a reader must know of the number, e.g. "outside the calibrated region: ..."
};

struct Prediction {
  Mix mix = {};
  bool fits = false;
  MemoryPrediction memory = {};
  TimePrediction time = {};
  std::string program_digest =
      {};  // identifies the step program; the trainer refuses a plan whose digest it does not reproduce
};

}  // namespace tunesmith::planner
