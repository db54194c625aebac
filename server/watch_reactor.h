#pragma once

#include <cstdint>
#include <deque>

#include "server/job_stream.h"
#include "server/store.h"
#include "tunesmith/v1/jobs.pb.h"

namespace tunesmith::server {

// One WatchJob stream: a snapshot, the events after a sequence, a last snapshot when the job is
// terminal. Reads events from the store in small batches. Deletes itself when the stream is done.
class WatchReactor final : public JobStream<v1::WatchJobResponse> {
 public:
  // Starts at once. Store and hub outlive the stream.
  WatchReactor(Store& store, EventHub& hub, const v1::WatchJobRequest& request);

  void OnDone() override;

 private:
  absl::Status Start() override;
  absl::Status Pump() override;
  absl::Status Fill();  // fills outbox_ from the store

  Store& store_;
  int64_t sent_sequence_;
  std::deque<v1::WatchJobResponse> outbox_;
  bool last_snapshot_queued_ = false;
};

}  // namespace tunesmith::server
