#pragma once

#include <deque>
#include <mutex>
#include <string>

#include "grpcpp/support/server_callback.h"
#include "server/event_hub.h"
#include "server/store.h"
#include "tunesmith/v1/jobs.pb.h"

namespace tunesmith::server {

// One WatchJob stream: a snapshot, the events after a sequence, a last snapshot when the job is
// terminal. Reads events from the store in small batches as fast as the client takes them. Deletes
// itself when the stream is done.
class WatchReactor final : public grpc::ServerWriteReactor<v1::WatchJobResponse>,
                           public EventListener {
 public:
  // Starts at once. Store and hub outlive the stream.
  WatchReactor(Store& store, EventHub& hub, const v1::WatchJobRequest& request);

  void OnJobChanged() override;
  void OnHubClosed() override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void Start();
  void Pump();                           // REQUIRES: mutex_ held
  absl::Status Fill();                   // fills outbox_ from the store; REQUIRES: mutex_ held
  void End(const absl::Status& status);  // REQUIRES: mutex_ held

  Store& store_;
  EventHub& hub_;
  const std::string name_;
  std::mutex mutex_;
  int64_t sent_sequence_;
  std::deque<v1::WatchJobResponse> outbox_;  // the front is being written when writing_
  bool writing_ = false;
  bool last_snapshot_queued_ = false;
  bool ended_ = false;
};

}  // namespace tunesmith::server
