#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/convert/run_directory.h"
#include "trainer/job/tensorboard.h"
#include "tunesmith/v1/events.pb.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::trainer {

// What a trainer tells of a job: events.jsonl, its curves for TensorBoard, heartbeat and exit.json of its run directory. Not thread safe.
class JobReporter {
 public:
  static absl::StatusOr<std::unique_ptr<JobReporter>> Open(const std::string& run_directory);
  // For every rank but the first: tells nothing.
  static std::unique_ptr<JobReporter> Silent(const std::string& run_directory);

  absl::Status Report(const v1::Event& event);
  absl::Status Log(v1::LogSeverity severity, const std::string& text);
  // Rewrites the heartbeat; of the same step at most once a second, since a file that is replaced costs two syncs.
  absl::Status Beat(int64_t step);

  const std::string& run_directory() const { return run_directory_; }

 private:
  JobReporter(std::string run_directory, std::unique_ptr<convert::EventWriter> events,
              std::unique_ptr<TensorBoardWriter> curves)
      : run_directory_(std::move(run_directory)),
        events_(std::move(events)),
        curves_(std::move(curves)) {}

  std::string run_directory_;
  std::unique_ptr<convert::EventWriter> events_;  // null: silent
  std::unique_ptr<TensorBoardWriter> curves_;
  std::optional<int64_t> beaten_step_;  // none: not yet
  std::chrono::steady_clock::time_point beaten_at_;
};

// Writes exit.json. `attempt` as in TUNESMITH_ATTEMPT, 0 when not given.
absl::Status WriteExit(const std::string& run_directory, v1::JobExit exit);

}  // namespace tunesmith::trainer
