#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "planner/model/hardware.h"
#include "planner/model/mix.h"

// Rates of one machine: what prices are computed from. Never fitted to one model.
namespace tunesmith::planner {

// One measured matrix product C (m, n) = A (m, k) B (k, n). Forward, input and weight gradients read their operands in different layouts, so
// the op kind belongs to the shape.
struct GemmPoint {
  std::string op_kind;  // OpKindName of a linear op
  int64_t m = 0, n = 0, k = 0;
  double flops_per_second = 0;
};

// One measured attention op.
struct AttentionPoint {
  std::string op_kind;  // OpKindName of an attention op
  int64_t context = 0;
  int64_t head_size = 0;
  double flops_per_second = 0;
  int64_t sequence_count = 0;  // rows x heads, where few do not fill the device: of GPUs; 0 of CPUs
};

// Rate of one kind of memory-bound op on operands of one size: in bytes it must move per second (each input read once, each output written
// once). Small operands stay in caches, so the rate depends on the size.
struct OpRate {
  std::string op_kind;  // OpKindName
  int64_t bytes = 0;  // that the op must move; of a collective, the whole that ranks have together
  double bytes_per_second = 0;
  int64_t rank_count = 0;  // of a collective: the ranks of a host that spoke; 0 for other ops
};

struct Calibration {
  std::string id;                          // empty: none, prices come from the datasheet
  std::string device_name;                 // Hardware::name it was measured on
  std::string fingerprint;                 // of the machine: processor, memory, trainer version
  std::string measured_at;                 // RFC 3339
  Precision precision = Precision::kFp32;  // of the programs that were timed
  std::vector<GemmPoint> gemm;
  std::vector<AttentionPoint> attention;
  std::vector<OpRate> rates;
  double launch_seconds = 0;  // fixed cost of an op
  double step_factor = 1.0;   // measured step over the sum of its ops
  double relative_error = 0;  // half-width of the 90 % interval, from leave-one-out errors
  // Resident or device memory that is not the arena; of a CPU without the tensor that is loaded or saved. 0: not measured.
  int64_t outside_arena_bytes = 0;
  // What all processors of the host together read and write of its memory; 0: not measured.
  double host_memory_bytes_per_second = 0;
  // Of a CPU: what each op takes of ranks that share the host, over what it would take if they had equal parts of its rates; 0: not measured.
  double sharing_factor = 0;
  // Of a GPU: between it and pinned memory of its host; 0: not measured.
  double link_to_device_bytes_per_second = 0;
  double link_from_device_bytes_per_second = 0;
  // Written and synced where checkpoints go, until the disk has it; 0: not measured.
  double checkpoint_bytes_per_second = 0;
  // Of the threads' time, what other work took while the machine was measured: 0 to 1.
  double busy_share = 0;
  double pace_seconds =
      0;  // of the profiler's small step (profiler/pace.h) meanwhile, median; 0: not measured
  double clock_hertz = 0;  // of the device meanwhile, median; 0: the system does not tell
};

// What it says in a precision. In another than its own: what does not depend on what is computed in (memory, disk, links), without an id; rates
// come from the datasheet then.
Calibration InPrecision(Calibration calibration, Precision precision);

// INVALID_ARGUMENT naming the entry that is NaN, infinite or outside of what any machine reaches, or at the same place as another of its
// table. The order of the entries says nothing.
absl::Status ValidateCalibration(const Calibration& calibration);

}  // namespace tunesmith::planner
