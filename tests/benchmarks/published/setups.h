#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "runtimes/setup.h"
#include "tests/benchmarks/published/rows.h"

// What a row says, in the axes of runtimes/. The rules name frameworks, versions and settings, never a model or a row.
namespace tunesmith::published {

// FAILED_PRECONDITION with the reason where the row is out of scope ("stack not in runtimes/: torchtune").
absl::StatusOr<runtimes::RunSetup> SetupOfRow(const Row& row);

}  // namespace tunesmith::published
