#include "tests/benchmarks/soak/visitors.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "common/descriptor.h"
#include "tests/benchmarks/wire_mutations.h"

namespace tunesmith::server {
namespace {

using Random = JobBook::Random;

int Draw(Random& random, int least, int most) {
  return std::uniform_int_distribution<int>(least, most)(random);
}

void SetDeadline(grpc::ClientContext& context, absl::Duration patience) {
  context.set_deadline(absl::ToChronoTime(absl::Now() + patience));
  context.set_wait_for_ready(true);
}

v1::Question QuestionOf(Random& random) {
  v1::Question question;
  question.set_model_name(Draw(random, 0, 1) == 0 ? "SmolLM2-135M" : "Llama-3.1-8B");
  question.set_device_name("A100-80GB");
  // Some are asked again and again, the others hardly ever.
  question.mutable_workload()->set_context(Draw(random, 0, 1) == 0 ? 1024
                                                                   : Draw(random, 512, 65536));
  question.mutable_workload()->set_rows_per_step(16);
  question.mutable_workload()->set_document_capacity(16);
  return question;
}

void Ask(Caller& caller, Random& random) {
  using Stub = v1::RecommenderService::Stub;
  const auto stub = v1::RecommenderService::NewStub(caller.channel());
  v1::RecommendRequest request;
  *request.mutable_question() = QuestionOf(random);
  v1::RecommendResponse response;
  caller.Call<Stub>(*stub, &Stub::Recommend, request, &response);
}

void LookAtLists(Caller& caller, Random& random) {
  using Stub = v1::JobService::Stub;
  const auto stub = v1::JobService::NewStub(caller.channel());
  v1::ListJobsRequest request;
  request.set_page_size(Draw(random, 1, 50));
  if (Draw(random, 0, 1) == 0) request.set_filter("state = SUCCEEDED");
  v1::ListJobsResponse response;
  for (int page = 0; page < 3; ++page) {
    if (!caller.Call<Stub>(*stub, &Stub::ListJobs, request, &response).ok()) return;
    request.set_page_token(response.next_page_token());
    if (request.page_token().empty()) return;
  }
}

// A mutation that does to a job what nobody has written into the book is not sent.
bool LeavesJobsAlone(const WireSeed& seed, const std::string& bytes) {
  if (!Parses(seed, bytes)) return true;
  if (seed.method.ends_with("/CreateJob")) {
    v1::CreateJobRequest request;
    return request.ParseFromString(bytes) && request.validate_only();
  }
  if (!seed.method.ends_with("/CancelJob") && !seed.method.ends_with("/ResumeJob")) return true;
  v1::CancelJobRequest request;  // its name has the number that ResumeJobRequest's has
  int64_t number = 0;
  return request.ParseFromString(bytes) &&
         !(absl::StartsWith(request.name(), "jobs/job-") &&
           absl::SimpleAtoi(request.name().substr(9), &number) && number < 1000000);
}

void SendNonsense(const std::vector<WireSeed>& seeds, Caller& caller, Random& random) {
  const WireSeed& seed = seeds[static_cast<size_t>(random() % seeds.size())];
  const std::string bytes = Mutate(seed, random);
  if (!LeavesJobsAlone(seed, bytes)) return;
  grpc::GenericStub stub(caller.channel());
  const int64_t before = caller.server().change_count();
  const grpc::Status status = CallBytes(stub, seed.method, bytes, absl::Seconds(10));
  ++caller.counts().calls;
  if (!IsProper(status.error_code(), Parses(seed, bytes)))
    caller.Blame(before, "nonsense for " + seed.method, status);
}

// Watches a job for a while, slowly at times, and goes on after the last event where the stream breaks off.
void Watch(const JobBook& book, Caller& caller, Random& random) {
  const std::optional<std::string> job = book.Any(random);
  if (!job) return;
  const auto stub = v1::JobService::NewStub(caller.channel());
  v1::WatchJobRequest request;
  request.set_name(*job);
  const bool is_slow = Draw(random, 0, 3) == 0;
  int left = Draw(random, 1, 200);
  for (int tries = 0; tries < 3 && left > 0; ++tries) {
    grpc::ClientContext context;
    SetDeadline(context, absl::Seconds(20));
    const auto reader = stub->WatchJob(&context, request);
    ++caller.counts().streams;
    v1::WatchJobResponse response;
    while (left > 0 && reader->Read(&response)) {
      --left;
      if (!response.has_event()) continue;
      if (response.event().sequence() != request.after_sequence() + 1) {
        ++caller.counts().event_faults;
        std::fprintf(stderr, "%s: event %lld follows %lld\n", job->c_str(),
                     static_cast<long long>(response.event().sequence()),
                     static_cast<long long>(request.after_sequence()));
      }
      request.set_after_sequence(response.event().sequence());
      if (is_slow) absl::SleepFor(absl::Milliseconds(20));
    }
    context.TryCancel();
    const grpc::Status status = reader->Finish();
    if (status.ok() || status.error_code() == grpc::StatusCode::NOT_FOUND) return;
  }
}

// Reads one chunk of a log, and no more for as long as it has patience.
void ReadSlowly(const JobBook& book, Caller& caller, Random& random) {
  const std::optional<std::string> job = book.Any(random);
  if (!job) return;
  const auto stub = v1::JobService::NewStub(caller.channel());
  grpc::ClientContext context;
  SetDeadline(context, absl::Seconds(20));
  v1::StreamLogsRequest request;
  request.set_name(*job);
  request.set_follow(true);
  const auto reader = stub->StreamLogs(&context, request);
  ++caller.counts().streams;
  v1::StreamLogsResponse response;
  (void)reader->Read(&response);
  absl::SleepFor(absl::Milliseconds(Draw(random, 100, 2000)));
  context.TryCancel();
  (void)reader->Finish();
}

// Connections that say nothing, of which some go before the server has given them up.
void KnockAndSayNothing(Caller& caller, Random& random) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(caller.server().port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::vector<Descriptor> connections;
  for (int i = 0; i < 10; ++i) {
    connections.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    (void)connect(connections.back().get(), reinterpret_cast<const sockaddr*>(&address),
                  sizeof(address));
  }
  absl::SleepFor(absl::Milliseconds(Draw(random, 0, 1000)));
}

void Calibrate(Caller& caller, Random& random) {
  using Stub = v1::CalibrationService::Stub;
  const auto stub = v1::CalibrationService::NewStub(caller.channel());
  v1::StartCalibrationResponse started;
  const grpc::Status status =
      caller.Call<Stub>(*stub, &Stub::StartCalibration, v1::StartCalibrationRequest(), &started);
  if (!status.ok()) return;
  ++caller.counts().calibrations;
  absl::SleepFor(absl::Milliseconds(Draw(random, 0, 1000)));
  v1::CancelCalibrationRunRequest cancel;
  cancel.set_name(started.run().name());
  v1::CancelCalibrationRunResponse cancelled;
  caller.Call<Stub>(*stub, &Stub::CancelCalibrationRun, cancel, &cancelled);
  v1::GetCalibrationRunRequest get;
  get.set_name(started.run().name());
  v1::GetCalibrationRunResponse run;
  if (!caller.Call<Stub>(*stub, &Stub::GetCalibrationRun, get, &run).ok() ||
      run.run().calibration().empty())
    return;
  v1::DeleteCalibrationRequest remove;
  remove.set_name(run.run().calibration());
  v1::DeleteCalibrationResponse removed;
  caller.Call<Stub>(*stub, &Stub::DeleteCalibration, remove, &removed);
}

}  // namespace

Visitors::Visitors(SoakServer& server, JobBook& book, SoakCounts& counts, uint64_t seed,
                   double jobs_per_second)
    : server_(server), counts_(counts), next_seed_(seed) {
  Invite(absl::Seconds(1 / jobs_per_second),
         [&book](Caller& caller, Random& random) { book.Submit(caller, random); });
  Invite(absl::Seconds(2 / jobs_per_second),
         [&book](Caller& caller, Random& random) { book.Disturb(caller, random); });
  for (int i = 0; i < 2; ++i) Invite(absl::Milliseconds(5), Ask);
  Invite(absl::Milliseconds(100), LookAtLists);
  Invite(absl::Milliseconds(5),
         [seeds = WireSeeds(TestJob(server.scratch(), 1))](Caller& caller, Random& random) {
           SendNonsense(seeds, caller, random);
         });
  for (int i = 0; i < 4; ++i)
    Invite(absl::Milliseconds(200),
           [&book](Caller& caller, Random& random) { Watch(book, caller, random); });
  for (int i = 0; i < 2; ++i)
    Invite(absl::Milliseconds(200),
           [&book](Caller& caller, Random& random) { ReadSlowly(book, caller, random); });
  Invite(absl::Seconds(2), KnockAndSayNothing);
  Invite(absl::Seconds(10), Calibrate);
  Invite(absl::Seconds(5), [&server](Caller& caller, Random& random) {
    server.RenewCertificate(absl::Milliseconds(Draw(random, 0, 1) * 1500));
    ++caller.counts().renewals;
  });
  // Somebody who comes anew each time, so that connections are made with the certificate of the moment.
  Invite(absl::Milliseconds(500), [](Caller& caller, Random& random) {
    Caller anew(caller.server(), caller.counts());
    LookAtLists(anew, random);
  });
}

void Visitors::Invite(absl::Duration pause, Visit visit) {
  threads_.emplace_back([this, pause, visit = std::move(visit), seed = next_seed_++] {
    Random random(seed);
    Caller caller(server_, counts_);
    std::uniform_real_distribution<double> length(0, 2);
    while (!stopping_) {
      visit(caller, random);
      const absl::Time next = absl::Now() + pause * length(random);
      while (!stopping_ && absl::Now() < next)
        absl::SleepFor(std::min(next - absl::Now(), absl::Milliseconds(100)));
    }
  });
}

void Visitors::SendAway() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace tunesmith::server
