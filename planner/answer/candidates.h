#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "planner/answer/recompute_solver.h"
#include "planner/answer/search.h"

namespace tunesmith::planner {

// The precision that the question asks for, or that the device is best at.
Precision PrecisionOf(const Question& question);

// How the ranks of the devices are connected.
Links LinksOf(const DeviceGroup& devices);

Backend BackendOf(const Hardware& hardware);

// Whether the trainer's eager attention runs there: the CPU's is not built for narrow storage.
bool HasEagerAttention(const Backend& backend, Precision precision);

// How many ranks may share a micro-batch, ascending: what is pinned, else numbers whose groups lie in one node, and where none of these divides the question's
// rows as it must, others. Empty: the question cannot be met.
std::vector<int64_t> SequenceParallelsOf(const Question& question);

// Devices that the question's rows can be divided over, `at_most` or fewer: as many for a row as may share one. Which of these numbers are possible,
// ValidateQuestion says.
int64_t MostDeviceCount(const Question& question, int64_t at_most);

// Every mix that answers the question, less the recompute counts: methods x attention x loss x (micro-batch, accumulation, ranks that share it), where the
// question does not pin them. Of two ways to have as many tokens on a rank in as many micro-batches the one by fewer ranks is left, as it exchanges less.
std::vector<Mix> FamiliesOf(const Question& question);

// More tiles of the MLP become possible at multiples of so many tokens, so that a longer context may need less there than a shorter one. Between two multiples
// need only grows.
inline constexpr int64_t kTileUnit = 4096;

// The rungs that may be chosen from, and how many layers the host has room for beside the bytes of parameters that it keeps.
RecomputeLimits LimitsOf(const Question& question, const Mix& family, int64_t kept_bytes = 0);
// Whether the host has room for these.
bool HostHolds(const Question& question, int64_t kept_bytes);

// How many mixes a family of `layer_count` layers has under the limits: ways to give each layer a rung, in canonical order. At most 2^62.
int64_t MixCount(const RecomputeLimits& limits, int64_t layer_count);

// Whether cuDNN is asked for the model's attention on the question's devices (planner/program/cudnn_attention.h).
bool TakesCudnn(const Question& question);

ProgramInputs InputsFor(const Question& question, const Mix& mix);

// What packing is expected to make of the question's documents, for the flash kernel of its device.
RowStatistics RowsFor(const Question& question);

// Assumptions and limits that a reader of the answer must know.
std::vector<std::string> NotesOn(const Question& question, const RowStatistics& rows);

}  // namespace tunesmith::planner
