#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "trainer/model_io/weight_source.h"

namespace tunesmith::trainer {

// Tells models of one shape apart, cheaply and in whatever form their weights are stored: CRC-32C, as eight hex digits, of the weights and biases of all norms, rounded
// to bf16. No format quantizes norms, and full training changes them; models that differ by merged adapters alone have the same. Errors as
// WeightSource::Read.
absl::StatusOr<std::string> BaseChecksum(const WeightSource& weights);

}  // namespace tunesmith::trainer
