#include "server/job_states.h"

#include <algorithm>
#include <initializer_list>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/utf8.h"
#include "google/protobuf/util/time_util.h"
#include "proto/convert/run_directory.h"
#include "server/error_info.h"

namespace tunesmith::server {
namespace {

using google::protobuf::util::TimeUtil;

std::string StateName(v1::JobState state) {
  return v1::JobState_Name(state).substr(std::string_view("JOB_STATE_").size());
}

absl::Status RequireState(const v1::Job& job, std::initializer_list<v1::JobState> states,
                          std::string_view verb) {
  if (std::find(states.begin(), states.end(), job.state()) != states.end()) return absl::OkStatus();
  return WithReason(absl::FailedPreconditionError(StrCat(job.name(), " is ", StateName(job.state()),
                                                         " and cannot be ", verb)),
                    "JOB_STATE_FORBIDS", {{"job", job.name()}, {"state", StateName(job.state())}});
}

// What commands and trainers say is bytes. A message with other text than UTF-8 can be stored, and never read again.
void SetState(v1::Job& job, v1::JobState state, const std::string& told,
              std::vector<v1::Event>& events, v1::EndCause cause = v1::END_CAUSE_UNSPECIFIED) {
  const std::string reason = ReplaceInvalidUtf8(told);
  job.set_state(state);
  job.set_reason(reason);
  job.set_cause(cause);
  job.clear_expected_start_time();
  if (IsTerminal(state)) *job.mutable_end_time() = TimeUtil::GetCurrentTime();
  v1::StateChanged& changed = *events.emplace_back().mutable_state_changed();
  changed.set_state(state);
  changed.set_reason(reason);
  changed.set_attempt(job.attempt());
  changed.set_cause(cause);
}

// Trainers do not tell causes; that an attempt was stopped on somebody else's wish, only the server
// can know, or a launcher whose cluster has a word for it.
v1::EndCause CauseOf(const v1::Job& job, const v1::JobExit& exit) {
  if (exit.cause() == v1::END_CAUSE_CANCELLED) return exit.cause();
  if (exit.state() == v1::JOB_STATE_CANCELLED && exit.cause() != v1::END_CAUSE_TIME_LIMIT)
    return job.cancel_requested() ? v1::END_CAUSE_CANCELLED : v1::END_CAUSE_PREEMPTED;
  if (exit.cause() != v1::END_CAUSE_UNSPECIFIED) return exit.cause();
  return exit.state() == v1::JOB_STATE_SUCCEEDED ? v1::END_CAUSE_COMPLETED
                                                 : v1::END_CAUSE_TRAINER_FAILED;
}

// A job that is stopped again and again by somebody else ends some day.
constexpr int64_t kMostPreemptedAttempts = 100;

void EndAttempt(v1::Job& job, const v1::JobExit& exit, std::vector<v1::Event>& events) {
  const v1::EndCause cause = CauseOf(job, exit);
  if (cause != v1::END_CAUSE_PREEMPTED)
    return SetState(job, exit.state(), exit.reason(), events, cause);
  if (job.attempt() >= kMostPreemptedAttempts) {
    return SetState(job, v1::JOB_STATE_FAILED,
                    StrCat("preempted at attempt ", job.attempt(), "; not tried again by itself"),
                    events, cause);
  }
  SetState(job, v1::JOB_STATE_QUEUED,
           StrCat("attempt ", job.attempt(), " was preempted",
                  exit.reason().empty() ? "" : StrCat(" (", exit.reason(), ")"),
                  "; queued again to go on from its last checkpoint"),
           events, cause);
}

// What a job waits for is told to those who watch it.
void AddWaitEvent(const v1::Job& job, std::vector<v1::Event>& events) {
  v1::StateChanged& changed = *events.emplace_back().mutable_state_changed();
  changed.set_state(job.state());
  changed.set_reason(job.reason());
  changed.set_attempt(job.attempt());
  if (job.has_expected_start_time())
    *changed.mutable_expected_start_time() = job.expected_start_time();
}

// The server numbers events itself and alone changes states.
v1::Event EventOfLine(const std::string& line) {
  auto event = convert::DecodeEventLine(line);
  if (event.ok() && event->kind_case() != v1::Event::kStateChanged) return *std::move(event);
  v1::Event log;
  log.mutable_log()->set_severity(v1::LOG_SEVERITY_ERROR);
  log.mutable_log()->set_text(StrCat("a line of events.jsonl was not understood: ",
                                     ReplaceInvalidUtf8(line.substr(0, 200))));
  return log;
}

}  // namespace

absl::StatusOr<v1::Job> MarkLaunching(Store& store, const std::string& name,
                                      const std::vector<int64_t>& gpu_indices) {
  return store.Update(name, [&](JobRecord& record, std::vector<v1::Event>& events) {
    v1::Job& job = record.job;
    TUNESMITH_RETURN_IF_ERROR(RequireState(job, {v1::JOB_STATE_QUEUED}, "launched"));
    job.set_attempt(job.attempt() + 1);
    *job.mutable_start_time() = TimeUtil::GetCurrentTime();
    record.handle.clear();
    if (!gpu_indices.empty())
      job.mutable_claim()->mutable_gpu_indices()->Assign(gpu_indices.begin(), gpu_indices.end());
    SetState(job, v1::JOB_STATE_LAUNCHING, "", events);
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Job> KeepHandle(Store& store, const std::string& name,
                                   const std::string& handle) {
  return store.Update(name, [&](JobRecord& record, std::vector<v1::Event>&) {
    record.handle = handle;
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Job> MarkWaiting(Store& store, const std::string& name,
                                    const std::string& reason, absl::Time expected_start) {
  return store.Update(name, [&](JobRecord& record, std::vector<v1::Event>& events) {
    v1::Job& job = record.job;
    TUNESMITH_RETURN_IF_ERROR(
        RequireState(job, {v1::JOB_STATE_QUEUED, v1::JOB_STATE_LAUNCHING}, "told to wait"));
    job.set_reason(ReplaceInvalidUtf8(reason));
    job.clear_expected_start_time();
    if (expected_start != absl::InfiniteFuture()) {
      *job.mutable_expected_start_time() =
          TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(expected_start));
    }
    if (job.state() == v1::JOB_STATE_LAUNCHING) AddWaitEvent(job, events);
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Job> MarkStartedAgain(Store& store, const std::string& name, int64_t attempt,
                                         const std::string& reason) {
  return store.Update(name, [&](JobRecord& record, std::vector<v1::Event>& events) {
    v1::Job& job = record.job;
    TUNESMITH_RETURN_IF_ERROR(
        RequireState(job, {v1::JOB_STATE_LAUNCHING, v1::JOB_STATE_RUNNING}, "started again"));
    if (attempt > job.attempt()) {
      job.set_attempt(attempt);
      *job.mutable_start_time() = TimeUtil::GetCurrentTime();
    }
    SetState(job, v1::JOB_STATE_LAUNCHING, reason, events, v1::END_CAUSE_PREEMPTED);
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Job> MarkRunning(Store& store, const std::string& name) {
  return store.Update(name, [](JobRecord& record, std::vector<v1::Event>& events) {
    TUNESMITH_RETURN_IF_ERROR(
        RequireState(record.job, {v1::JOB_STATE_LAUNCHING}, "marked as running"));
    SetState(record.job, v1::JOB_STATE_RUNNING, "", events);
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Job> MarkEnded(Store& store, const std::string& name, const v1::JobExit& exit,
                                  const std::string& warning) {
  return store.Update(name, [&](JobRecord& record, std::vector<v1::Event>& events) {
    v1::Job& job = record.job;
    TUNESMITH_RETURN_IF_ERROR(
        RequireState(job, {v1::JOB_STATE_LAUNCHING, v1::JOB_STATE_RUNNING}, "ended"));
    if (exit.has_summary()) *job.mutable_summary() = exit.summary();
    if (!warning.empty()) {
      v1::Log& log = *events.emplace_back().mutable_log();
      log.set_severity(v1::LOG_SEVERITY_WARNING);
      log.set_text(warning);
    }
    if (IsTerminal(exit.state())) {
      EndAttempt(job, exit, events);
    } else {
      SetState(job, v1::JOB_STATE_FAILED, StrCat("exit.json names no final state: ", exit.reason()),
               events, v1::END_CAUSE_TRAINER_FAILED);
    }
    // GPUs that the launcher chose are free for others.
    if (job.spec().device() == "cuda:0") job.mutable_claim()->clear_gpu_indices();
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Job> RequestCancel(Store& store, const std::string& name) {
  return store.Update(name, [](JobRecord& record, std::vector<v1::Event>& events) {
    v1::Job& job = record.job;
    TUNESMITH_RETURN_IF_ERROR(RequireState(
        job, {v1::JOB_STATE_QUEUED, v1::JOB_STATE_LAUNCHING, v1::JOB_STATE_RUNNING}, "cancelled"));
    const bool queued = job.state() == v1::JOB_STATE_QUEUED;
    job.set_cancel_requested(true);
    if (queued) {
      SetState(job, v1::JOB_STATE_CANCELLED, "cancelled before it started", events,
               v1::END_CAUSE_CANCELLED);
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Job> Requeue(Store& store, const std::string& name, const RequestKey& key) {
  const auto change = [](JobRecord& record, std::vector<v1::Event>& events) {
    v1::Job& job = record.job;
    TUNESMITH_RETURN_IF_ERROR(
        RequireState(job, {v1::JOB_STATE_FAILED, v1::JOB_STATE_CANCELLED}, "resumed"));
    job.set_cancel_requested(false);
    job.clear_end_time();
    record.to_queue_end = true;
    SetState(job, v1::JOB_STATE_QUEUED, "", events);
    return absl::OkStatus();
  };
  return store.Update(name, change, key);
}

absl::StatusOr<v1::Job> IngestLines(Store& store, const std::string& name,
                                    const std::vector<std::string>& lines, int64_t next_offset) {
  return store.Update(name, [&](JobRecord& record, std::vector<v1::Event>& events) {
    for (const std::string& line : lines) {
      const v1::Event& event = events.emplace_back(EventOfLine(line));
      if (event.has_progress()) *record.job.mutable_progress() = event.progress();
      if (event.has_finished()) *record.job.mutable_summary() = event.finished();
    }
    record.event_offset = next_offset;
    return absl::OkStatus();
  });
}

}  // namespace tunesmith::server
