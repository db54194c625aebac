#include "trainer/job/job_reporter.h"

#include <cstdlib>

#include "common/numbers.h"
#include "common/status_macros.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/json.h"

namespace tunesmith::trainer {

using google::protobuf::util::TimeUtil;

constexpr std::chrono::seconds kBetweenBeats{1};

absl::StatusOr<std::unique_ptr<JobReporter>> JobReporter::Open(const std::string& run_directory) {
  TUNESMITH_ASSIGN_OR_RETURN(auto events, convert::EventWriter::Open(run_directory));
  TUNESMITH_ASSIGN_OR_RETURN(auto curves, TensorBoardWriter::Open(run_directory));
  return std::unique_ptr<JobReporter>(
      new JobReporter(run_directory, std::move(events), std::move(curves)));
}

absl::Status JobReporter::Report(const v1::Event& event) {
  if (events_ == nullptr) return absl::OkStatus();
  TUNESMITH_RETURN_IF_ERROR(curves_->Write(event));
  return events_->Append(event);
}

std::unique_ptr<JobReporter> JobReporter::Silent(const std::string& run_directory) {
  return std::unique_ptr<JobReporter>(new JobReporter(run_directory, nullptr, nullptr));
}

absl::Status JobReporter::Log(v1::LogSeverity severity, const std::string& text) {
  v1::Event event;
  event.mutable_log()->set_severity(severity);
  event.mutable_log()->set_text(text);
  return Report(event);
}

absl::Status JobReporter::Beat(int64_t step) {
  if (events_ == nullptr) return absl::OkStatus();
  const auto now = std::chrono::steady_clock::now();
  if (beaten_step_ == step && now - beaten_at_ < kBetweenBeats) return absl::OkStatus();
  beaten_step_ = step;
  beaten_at_ = now;
  v1::Heartbeat heartbeat;
  *heartbeat.mutable_time() = TimeUtil::GetCurrentTime();
  heartbeat.set_step(step);
  return convert::WriteJsonFile(convert::InDirectory(run_directory_, convert::kHeartbeatFile),
                                heartbeat);
}

absl::Status WriteExit(const std::string& run_directory, v1::JobExit exit) {
  const char* attempt = std::getenv("TUNESMITH_ATTEMPT");
  int64_t number = 0;
  if (attempt != nullptr && ParseInt64(attempt, &number)) exit.set_attempt(number);
  *exit.mutable_end_time() = TimeUtil::GetCurrentTime();
  return convert::WriteJsonFile(convert::InDirectory(run_directory, convert::kExitFile), exit);
}

}  // namespace tunesmith::trainer
