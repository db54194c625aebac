#pragma once

#include <string>

#include "client/client.h"

namespace tunesmith::client {

// Follows a job on stderr until it ends: a progress bar with loss, tokens/s and time left when stderr is a terminal, else plain lines; with
// `json_lines`, each update as one JSON line on stdout as well. Ctrl-C detaches: the job goes on, how to come back is said, and the status is
// CANCELLED. Returns the job as it ended.
absl::StatusOr<v1::Job> FollowJob(JobClient& jobs, const std::string& name, int64_t after_sequence,
                                  bool json_lines);

// One line for a terminal: "[=====>    ] 120/400  loss 2.3456  1234 tokens/s  3 min left".
std::string ProgressBar(const v1::Progress& progress);

// One line per event that people want to read; empty for others.
std::string EventText(const v1::Event& event);

}  // namespace tunesmith::client
