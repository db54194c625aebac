#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/answer/prediction.h"
#include "planner/answer/size_question.h"

// How many devices, and of which kind: every count of every kind is asked for its quickest mix.
namespace tunesmith::planner {

enum class SizeVerdict {
  kFinishes,     // in time, or, where no time was given, fits
  kTooLate,      // fits, but takes longer
  kDoesNotFit,   // no mix fits
  kNotPossible,  // the count contradicts the question: rows that do not divide, pinned axes
  kNotTried,     // the search's deadline passed before
};
inline constexpr int kSizeVerdictCount = 5;

// What is said of one count of one kind.
struct SizedDevices {
  int64_t kind_index = 0;  // of SizeQuestion::kinds
  DeviceGroup devices;
  SizeVerdict verdict = SizeVerdict::kNotTried;
  // kFinishes, kTooLate: the quickest mix; kDoesNotFit: the mix that misses by least; else none.
  std::optional<Prediction> best;
  // For the whole data set; 0 where its size or the price is not known, or nothing fits.
  double device_hours = 0;
  double cost = 0;       // in the currency of the price
  std::string sentence;  // why it was chosen or not
};

struct SizeAnswer {
  std::vector<SizedDevices> tried;  // by kind, then count
  // Indices into `tried` of those that finish, best first: least cost where there are prices, else fewest devices; then fewest devices,
  // then least time. Empty: none does.
  std::vector<int64_t> ranked;
  std::optional<int64_t> fewest;  // of those, the one with fewest devices, of equals the quickest
  std::string choice_rule;        // by which rule ranked[0] was chosen, or what came nearest
  std::vector<std::string> notes;
  bool deadline_reached = false;  // some counts were not tried, or not searched to the end
};

// A question that no count answers is an answer (ranked empty), never an error. INVALID_ARGUMENT: the question contradicts itself for every
// count, no kind is named, a time or a price without the size of the data set, a price for some kinds only, another objective. UNIMPLEMENTED: a kind is not planned.
absl::StatusOr<SizeAnswer> ChooseDevices(const SizeQuestion& question);

}  // namespace tunesmith::planner
