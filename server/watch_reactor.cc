#include "server/watch_reactor.h"

#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::server {
namespace {

constexpr int64_t kBatchCount = 128;

absl::Status CheckStart(int64_t after_sequence, int64_t last_sequence) {
  if (after_sequence >= 0 && after_sequence <= last_sequence) return absl::OkStatus();
  return absl::OutOfRangeError(StrCat("after_sequence is ", after_sequence, ", must be 0 to ",
                                      last_sequence, ", the job's last event"));
}

}  // namespace

WatchReactor::WatchReactor(Store& store, EventHub& hub, const v1::WatchJobRequest& request)
    : JobStream(hub, request.name(), "watch it again later"),
      store_(store),
      sent_sequence_(request.after_sequence()) {
  Begin();
}

absl::Status WatchReactor::Start() {
  TUNESMITH_ASSIGN_OR_RETURN(v1::Job job, store_.GetJob(name()));
  TUNESMITH_RETURN_IF_ERROR(CheckStart(sent_sequence_, job.last_sequence()));
  *outbox_.emplace_back().mutable_snapshot() = std::move(job);
  return absl::OkStatus();
}

absl::Status WatchReactor::Pump() {
  if (outbox_.empty() && !last_snapshot_queued_) TUNESMITH_RETURN_IF_ERROR(Fill());
  if (!outbox_.empty()) {
    v1::WatchJobResponse next = std::move(outbox_.front());
    outbox_.pop_front();
    Write(std::move(next));
  } else if (last_snapshot_queued_) {
    End(absl::OkStatus());
  }
  return absl::OkStatus();
}

absl::Status WatchReactor::Fill() {
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<v1::Event> events,
                             store_.EventsAfter(name(), sent_sequence_, kBatchCount));
  for (v1::Event& event : events) {
    sent_sequence_ = event.sequence();
    *outbox_.emplace_back().mutable_event() = std::move(event);
  }
  if (!events.empty()) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(const JobRecord record, store_.GetRecord(name()));
  // An event that came between the two reads is sent first; its notification waits for our lock.
  if (!IsTerminal(record.job.state()) || record.job.last_sequence() != sent_sequence_)
    return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(*outbox_.emplace_back().mutable_snapshot(), store_.GetJob(name()));
  last_snapshot_queued_ = true;
  return absl::OkStatus();
}

void WatchReactor::OnDone() {
  LeaveHub();
  delete this;
}

}  // namespace tunesmith::server
