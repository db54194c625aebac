#pragma once

#include <string>

#include "client/client.h"

namespace tunesmith::client {

enum class FollowStyle {
  kView,  // on stderr: a progress bar with loss, tokens/s, time left and the losses so far where that is a terminal, else plain lines
  kJsonLines,  // the same, and each update as one JSON line on stdout
  kQuiet,      // nothing
};

// Follows a job until it ends; the job as it ended. Ctrl-C detaches: the job goes on, how to come back is said, and the status is CANCELLED. DEADLINE_EXCEEDED when
// the job has not ended after `patience`; it goes on then too.
absl::StatusOr<v1::Job> FollowJob(JobClient& jobs, const std::string& name, int64_t after_sequence,
                                  FollowStyle style,
                                  absl::Duration patience = absl::InfiniteDuration());

// One line for a terminal: "[=====>    ] 120/400  loss 2.3456  1234 tokens/s  3 min left".
std::string ProgressBar(const v1::Progress& progress);

// One line per event that people want to read; empty for others.
std::string EventText(const v1::Event& event);

}  // namespace tunesmith::client
