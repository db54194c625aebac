#include "server/watch_reactor.h"

#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "server/grpc_status.h"

namespace tunesmith::server {
namespace {

constexpr int64_t kBatchCount = 128;
constexpr char kShuttingDown[] =
    "the server is shutting down; the job goes on, watch it again later";

absl::Status CheckStart(int64_t after_sequence, int64_t last_sequence) {
  if (after_sequence >= 0 && after_sequence <= last_sequence) return absl::OkStatus();
  return absl::OutOfRangeError(StrCat("after_sequence is ", after_sequence, ", must be 0 to ",
                                      last_sequence, ", the job's last event"));
}

}  // namespace

WatchReactor::WatchReactor(Store& store, EventHub& hub, const v1::WatchJobRequest& request)
    : store_(store), hub_(hub), name_(request.name()), sent_sequence_(request.after_sequence()) {
  const bool added = hub_.Add(name_, this);
  std::lock_guard lock(mutex_);
  if (added) {
    Start();
  } else {
    End(absl::UnavailableError(kShuttingDown));
  }
}

void WatchReactor::Start() {
  absl::StatusOr<v1::Job> job = store_.GetJob(name_);
  absl::Status status = job.status();
  if (status.ok()) status = CheckStart(sent_sequence_, job->last_sequence());
  if (!status.ok()) return End(status);
  *outbox_.emplace_back().mutable_snapshot() = *std::move(job);
  Pump();
}

void WatchReactor::Pump() {
  if (writing_ || ended_) return;
  if (outbox_.empty() && !last_snapshot_queued_) {
    if (const absl::Status status = Fill(); !status.ok()) return End(status);
  }
  if (!outbox_.empty()) {
    writing_ = true;
    StartWrite(&outbox_.front());
  } else if (last_snapshot_queued_) {
    End(absl::OkStatus());
  }
}

absl::Status WatchReactor::Fill() {
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<v1::Event> events,
                             store_.EventsAfter(name_, sent_sequence_, kBatchCount));
  for (v1::Event& event : events) {
    sent_sequence_ = event.sequence();
    *outbox_.emplace_back().mutable_event() = std::move(event);
  }
  if (!events.empty()) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(const JobRecord record, store_.GetRecord(name_));
  // An event that came between the two reads is sent first; its notification waits for our lock.
  if (!IsTerminal(record.job.state()) || record.job.last_sequence() != sent_sequence_)
    return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(*outbox_.emplace_back().mutable_snapshot(), store_.GetJob(name_));
  last_snapshot_queued_ = true;
  return absl::OkStatus();
}

void WatchReactor::End(const absl::Status& status) {
  if (ended_) return;
  ended_ = true;
  Finish(ToGrpcStatus(status));
}

void WatchReactor::OnJobChanged() {
  std::lock_guard lock(mutex_);
  Pump();
}

void WatchReactor::OnHubClosed() {
  std::lock_guard lock(mutex_);
  End(absl::UnavailableError(kShuttingDown));
}

void WatchReactor::OnWriteDone(bool ok) {
  std::lock_guard lock(mutex_);
  writing_ = false;
  outbox_.pop_front();
  if (!ok) return End(absl::CancelledError("the stream is broken"));
  Pump();
}

void WatchReactor::OnCancel() {
  std::lock_guard lock(mutex_);
  End(absl::CancelledError("the client went away"));
}

void WatchReactor::OnDone() {
  hub_.Remove(name_, this);
  delete this;
}

}  // namespace tunesmith::server
