#pragma once

#include "absl/status/statusor.h"
#include "planner/program/layer_parameters.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// The step program of one rank. REQUIRES: the model, mix and workload passed their validation. INVALID_ARGUMENT when they do not fit together
// (context beyond the model's limit, micro_batch x accumulation_count x data_parallel != rows_per_step: the message prints the equation).
// UNIMPLEMENTED, naming the axis, for values that a mix can spell but no program is built with yet.
// Pure; the same inputs give the same program.
absl::StatusOr<Program> BuildProgram(const ProgramInputs& inputs);

// BuildProgram without the layers of the micro-batches: all else that a step is made of. Not to be run.
absl::StatusOr<Program> BuildFrame(const ProgramInputs& inputs);

// The part of a program that its segments share: parameters and the buffers of the host. REQUIRES: as BuildProgram, whose checks it does not make.
Program StartProgram(const ProgramInputs& inputs, ModelParameters& parameters);

// Hex digest of everything in the program: two programs with one digest compute the same thing in the same buffers.
std::string ProgramDigest(const Program& program);

}  // namespace tunesmith::planner
