#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/convert/violations.h"
#include "tunesmith/v1/job_spec.pb.h"

// What a job trains: checks of v1::JobSpec, and the file job.json.
namespace tunesmith::convert {

// Adds every field that is missing or out of range to `violations`, under the path `field`. Files
// are not looked at.
void ValidateJobSpec(const v1::JobSpec& spec, std::string_view field, Violations& violations);

// The same with every default that job_spec.proto states filled in. `lora` chooses the default
// learning rate.
v1::JobSpec WithDefaults(v1::JobSpec spec, bool lora);

// The checked specification in the file at `path`, as written. Errors of reading it, and
// INVALID_ARGUMENT naming the file and the fields.
absl::StatusOr<v1::JobSpec> ReadJobSpecFile(const std::string& path);

}  // namespace tunesmith::convert
