#include "tests/benchmarks/soak/job_book.h"

#include <signal.h>

#include <algorithm>
#include <cstdio>

#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "server/process.h"
#include "tests/benchmarks/job_checks.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::server {
namespace {

using Stub = v1::JobService::Stub;

// Of a request, by somebody who does not give up while the server is killed again and again.
constexpr int kTries = 10;

int64_t Draw(JobBook::Random& random, int64_t least, int64_t most) {
  return std::uniform_int_distribution<int64_t>(least, most)(random);
}

void Count(const std::string& fault, int64_t& count) {
  if (fault.empty()) return;
  std::fprintf(stderr, "%s\n", fault.c_str());
  ++count;
}

}  // namespace

void JobBook::Submit(Caller& caller, Random& random) {
  v1::CreateJobRequest request = request_;
  const int64_t steps = Draw(random, 3, 40);
  request.mutable_spec()->mutable_training()->set_step_count(steps);
  {
    std::lock_guard lock(mutex_);
    request.set_request_id("job-" + std::to_string(next_++));
  }
  const auto stub = v1::JobService::NewStub(caller.channel());
  v1::CreateJobResponse response;
  grpc::Status status(grpc::StatusCode::UNAVAILABLE, "");
  for (int tries = 0; tries < kTries && IsServersFault(status.error_code()); ++tries)
    status = caller.Call<Stub>(*stub, &Stub::CreateJob, request, &response);
  if (!status.ok()) {
    ++caller.counts().improper_answers;
    std::fprintf(stderr, "CreateJob: %s\n", status.error_message().c_str());
    return;
  }
  {
    std::lock_guard lock(mutex_);
    entries_[response.job().name()].step_count = steps;
  }
  v1::CreateJobResponse again;
  if (Draw(random, 0, 9) == 0 && caller.Call<Stub>(*stub, &Stub::CreateJob, request, &again).ok() &&
      again.job().name() != response.job().name())
    ++caller.counts().doubles;
}

std::optional<v1::Job> JobBook::AnyIn(Caller& caller, const std::string& filter, Random& random) {
  v1::ListJobsRequest request;
  request.set_filter(filter);
  request.set_page_size(10);
  v1::ListJobsResponse response;
  const auto stub = v1::JobService::NewStub(caller.channel());
  if (!caller.Call<Stub>(*stub, &Stub::ListJobs, request, &response).ok() ||
      response.jobs().empty())
    return std::nullopt;
  return response.jobs(static_cast<int>(Draw(random, 0, response.jobs_size() - 1)));
}

void JobBook::Cancel(Caller& caller, const v1::Job& job) {
  {
    std::lock_guard lock(mutex_);
    entries_[job.name()].may_be_cancelled = true;
  }
  v1::CancelJobRequest request;
  request.set_name(job.name());
  v1::CancelJobResponse response;
  const auto stub = v1::JobService::NewStub(caller.channel());
  caller.Call<Stub>(*stub, &Stub::CancelJob, request, &response);
  ++caller.counts().cancels;
}

void JobBook::Resume(Caller& caller, const v1::Job& job) {
  v1::ResumeJobRequest request;
  request.set_name(job.name());
  request.set_request_id(job.name().substr(job.name().find('/') + 1) + "-" +
                         std::to_string(job.attempt()));
  v1::ResumeJobResponse response;
  const auto stub = v1::JobService::NewStub(caller.channel());
  caller.Call<Stub>(*stub, &Stub::ResumeJob, request, &response);
  ++caller.counts().resumes;
}

void JobBook::KillProcessOf(Caller& caller, const v1::Job& job, bool shim) {
  v1::ShimHandle handle;
  const std::string path = convert::InDirectory(job.run_directory(), convert::kShimFile);
  if (!convert::ReadJsonFile(path, &handle, convert::UnknownFields::kIgnore).ok()) return;
  if (shim) SignalProcess(handle.pid(), handle.start_ticks(), SIGKILL);
  if (!shim) SignalProcess(handle.trainer_pid(), handle.trainer_start_ticks(), SIGKILL);
  ++caller.counts().kills;
}

void JobBook::Disturb(Caller& caller, Random& random) {
  const int64_t kind = Draw(random, 0, 4);
  const auto job =
      AnyIn(caller,
            kind == 4 ? (Draw(random, 0, 1) == 0 ? "state = FAILED" : "state = CANCELLED")
                      : "state = RUNNING",
            random);
  if (!job) return;
  if (kind == 0) Cancel(caller, *job);
  if (kind == 1) KillProcessOf(caller, *job, true);
  if (kind == 2 || kind == 3) KillProcessOf(caller, *job, false);
  if (kind == 4) Resume(caller, *job);
}

std::optional<std::string> JobBook::Any(Random& random) const {
  std::lock_guard lock(mutex_);
  if (entries_.empty()) return std::nullopt;
  // One of the newest, of which something may still be heard.
  const auto count = static_cast<int64_t>(entries_.size());
  return "jobs/job-" + std::to_string(Draw(random, std::max<int64_t>(1, count - 20), count));
}

int64_t JobBook::count() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(entries_.size());
}

std::map<std::string, JobBook::Entry> JobBook::Entries() const {
  std::lock_guard lock(mutex_);
  return entries_;
}

std::optional<v1::Job> JobBook::Get(Caller& caller, const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  v1::GetJobResponse response;
  const auto stub = v1::JobService::NewStub(caller.channel());
  if (!caller.Call<Stub>(*stub, &Stub::GetJob, request, &response).ok()) return std::nullopt;
  return response.job();
}

bool JobBook::HasEndedWell(const v1::Job& job) const {
  std::lock_guard lock(mutex_);
  const Entry& entry = entries_.at(job.name());
  if (job.state() == v1::JOB_STATE_CANCELLED) return entry.may_be_cancelled;
  return job.state() == v1::JOB_STATE_SUCCEEDED && job.summary().step() == entry.step_count;
}

int64_t JobBook::Settle(Caller& caller, absl::Duration patience) {
  std::map<std::string, Entry> open = Entries();
  const absl::Time deadline = absl::Now() + patience;
  while (!open.empty()) {
    std::erase_if(open, [&](const auto& entry) {
      const std::optional<v1::Job> job = Get(caller, entry.first);
      if (job && job->state() == v1::JOB_STATE_FAILED &&
          job->cause() != v1::END_CAUSE_TRAINER_FAILED)
        Resume(caller, *job);
      return job && HasEndedWell(*job);
    });
    if (absl::Now() > deadline) break;
    absl::SleepFor(absl::Milliseconds(100));
  }
  for (const auto& [name, entry] : open) {
    const std::optional<v1::Job> job = Get(caller, name);
    std::fprintf(stderr, "lost: %s: %s\n", name.c_str(),
                 job ? job->ShortDebugString().substr(0, 400).c_str() : "is gone");
  }
  return static_cast<int64_t>(open.size());
}

JobBook::Faults JobBook::Check(ServerProcess& server) const {
  Faults faults;
  for (const auto& [name, entry] : Entries()) {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_name(name);
    v1::GetJobResponse response;
    if (!server.jobs().GetJob(&context, request, &response).ok()) continue;  // counted as lost
    Count(EventFaultOf(server, response.job()), faults.event_count);
    Count(DoubleStartOf(response.job()), faults.double_count);
  }
  return faults;
}

}  // namespace tunesmith::server
