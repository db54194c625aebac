#pragma once

#include <mutex>
#include <string>

#include "grpcpp/alarm.h"
#include "grpcpp/support/server_callback.h"
#include "server/event_hub.h"
#include "server/store.h"
#include "tunesmith/v1/jobs.pb.h"

namespace tunesmith::server {

// One StreamLogs stream: the bytes of the trainer's log from an offset, chunk by chunk as fast as
// the client takes them; with follow, on until the job is terminal. One chunk is held at a time.
// Deletes itself when the stream is done.
class LogReactor final : public grpc::ServerWriteReactor<v1::StreamLogsResponse>,
                         public EventListener {
 public:
  // Starts at once. Store and hub outlive the stream.
  LogReactor(Store& store, EventHub& hub, const v1::StreamLogsRequest& request);

  void OnJobChanged() override;
  void OnHubClosed() override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void Start(const v1::StreamLogsRequest& request);
  void Pump();  // REQUIRES: mutex_ held
  void LookAgainSoon();
  void OnAlarm();
  void End(const absl::Status& status);  // REQUIRES: mutex_ held

  Store& store_;
  EventHub& hub_;
  const std::string name_;
  const bool follow_;
  std::mutex mutex_;
  std::string path_;
  int64_t offset_ = 0;
  v1::StreamLogsResponse chunk_;  // being written when writing_
  bool writing_ = false;
  bool alarm_set_ = false;
  bool ended_ = false;
  bool done_ = false;
  grpc::Alarm alarm_;
};

}  // namespace tunesmith::server
