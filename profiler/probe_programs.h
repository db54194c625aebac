#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planner/model/mix.h"
#include "planner/model/model_spec.h"
#include "planner/program/program.h"

// What a calibration runs.
namespace tunesmith::profiler {

struct ProbeModel {
  planner::ModelSpec model;  // the one whose fine-tunes are to be predicted
  int64_t context = 512;
  planner::Precision precision = planner::Precision::kFp32;
  bool has_cudnn = false;  // of a GPU: its attention is measured, too
};

// Step programs whose ops together spread over the shapes that fine-tunes are made of, the most useful ones first: a few layers of the model with its true
// widths under every method and both attention kernels; then models of other widths, head sizes, contexts and kinds of blocks, small ones on CPUs and on GPUs a few layers of
// large ones, so that models that were not probed lie between measured points. Every kind of op is in two of them at least, so that each can be predicted from the others.
std::vector<planner::ProgramInputs> ProbePrograms(const ProbeModel& probe,
                                                  const planner::Backend& backend);

// As many layers of the model as the caches of a processor do not hold; at least two.
int64_t UncachedLayerCount(const planner::ModelSpec& model);

// LoraSpec::targets of all projections that the model has.
uint32_t AllProjections(const planner::ModelSpec& model);

}  // namespace tunesmith::profiler
