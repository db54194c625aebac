#pragma once

#include <atomic>
#include <string>

#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::trainer {

// Carries out the job of a run directory (proto/convert/run_directory.h): reads plan.json and job.json, goes on from the newest checkpoint, trains,
// evaluates, saves, reports. Writes exit.json and returns what it says. `stop` set (by a signal): the step in work is finished, a checkpoint is saved
// and the job ends as CANCELLED.
v1::JobExit RunJob(const std::string& run_directory, const std::atomic<bool>& stop);

}  // namespace tunesmith::trainer
