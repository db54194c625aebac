#pragma once

#include <string>
#include <vector>

#include "server/launch/launcher.h"
#include "server/operations/metrics.h"
#include "server/store.h"

namespace tunesmith::server {

// Jobs that wait or run, by launcher and state. Ended ones are counted when they end (tunesmith_job_transitions_total): there may be millions.
void CollectJobs(Metrics& metrics, Store& store, const std::vector<Launcher*>& launchers);

// When the certificate that is served ends; nothing for an empty path or a file that cannot be read now.
void CollectCertificate(Metrics& metrics, const std::string& path);

// tunesmith_build_info, always 1.
void TellBuild(Metrics& metrics);

// tunesmith_measured_over_predicted_ratio: what was measured last, over its prediction; 1: as predicted. `quantity` is "step_seconds" or
// "device_memory".
void TellDrift(Metrics& metrics, const std::string& quantity, double ratio);

// tunesmith_measured_steps_total: a step that was measured, inside or outside of the interval that was predicted for it.
void TellStep(Metrics& metrics, bool is_outside);

}  // namespace tunesmith::server
