#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "trainer/data/batch.h"
#include "trainer/data/loader.h"

// What a step must not do, said so that a person finds the rows that did it.
namespace tunesmith::trainer {

// The rows of the data set that a rank's micro-batches of a step hold, the first few of them: "lines 3, 17, 40 and 5 more of train.jsonl"; where other ranks
// have others, "..., the share of rank 0" too.
std::string RowsOf(absl::Span<const Batch> micro_batches, const std::string& dataset_path,
                   const RankShare& share);

// `status` of Session::Step with the step, its rows, and the cure.
absl::Status StepFailure(const absl::Status& status, int64_t step, const std::string& rows);

// What ends a job whose held-out loss is `loss`, which is not finite, after `step` steps.
absl::Status EvaluationFailure(double loss, int64_t step);

// From this ratio on a loss is told as a spike.
inline constexpr double kToldSpike = 2;

// Says that a loss is `ratio` times the median of those before it.
std::string SpikeText(double loss, double ratio);

}  // namespace tunesmith::trainer
