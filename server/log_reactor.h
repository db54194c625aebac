#pragma once

#include <cstdint>
#include <string>

#include "grpcpp/alarm.h"
#include "server/job_stream.h"
#include "server/store.h"
#include "tunesmith/v1/jobs.pb.h"

namespace tunesmith::server {

// One StreamLogs stream: the bytes of the trainer's log from an offset, chunk by chunk; with follow,
// on until the job is terminal. Deletes itself when the stream is done.
class LogReactor final : public JobStream<v1::StreamLogsResponse> {
 public:
  // Starts at once. Store and hub outlive the stream.
  LogReactor(Store& store, EventHub& hub, const v1::StreamLogsRequest& request);

  void OnDone() override;

 private:
  absl::Status Start() override;
  absl::Status Pump() override;
  void LookAgainSoon();
  void OnAlarm();

  Store& store_;
  const v1::StreamLogsRequest request_;
  std::string path_;
  int64_t offset_ = 0;
  bool alarm_set_ = false;
  bool done_ = false;
  grpc::Alarm alarm_;
};

}  // namespace tunesmith::server
