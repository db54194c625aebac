#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/model/mix.h"
#include "trainer/job/session.h"
#include "trainer/model_io/adapter.h"
#include "trainer/model_io/weight_source.h"

namespace tunesmith::trainer {

// What an adapter asks of a mix: its rank, scale, and the targets that its modules name. FAILED_PRECONDITION lists all that shows that it was made for
// another model: modules that this one does not have, or of other sizes; or that it was made for other weights of these sizes (BaseChecksum).
absl::StatusOr<planner::LoraSpec> LoraOf(const Adapter& adapter, const WeightSource& weights);

// Writes the adapter's matrices into the session, whose mix is of LoraOf. Modules that it lacks in some layers stay as they are.
absl::Status LoadAdapter(const Adapter& adapter, Session& session);

}  // namespace tunesmith::trainer
