// How much a server bears, with the client on the same processors. Starts tunesmithd on a free loopback port, with stand-in trainers.
//
//   service_bench [--seconds 10] [--jobs 1000000] [--watchers 1000] [--watched-jobs 100] [--only PART]
//
// PART is cached, search, watch, jobs or malformed. The last line of stdout is one JSON object:
//   cached_recommend_per_second    Recommend calls whose answer is known, 64 in flight; cached_p99_seconds: of their latencies
//   search_per_second              Recommend calls of different questions over any method, 8 in flight; none was asked before
//   watcher_lost_event_count       events that some of the watchers did not get, or got twice; watcher_count, watched_event_count
//   million_job_p99_seconds        of ListJobs (pages, filters) and GetJob calls, with `million_job_count` jobs stored
//   million_job_start_seconds      from starting that server to its first answer
//   malformed_request_count        requests with random changes; malformed_fault_count: of which not answered, or by a status that they
//                                  should not have got (INTERNAL, UNKNOWN, UNAVAILABLE), or after which the server was not healthy

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "google/protobuf/stubs/logging.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "server/sqlite.h"
#include "tests/benchmarks/wire_mutations.h"
#include "tests/server/api_calls.h"
#include "tests/server/process_use.h"
#include "tests/server/server_process.h"

namespace tunesmith::server {
namespace {

struct Options {
  double seconds = 10;
  int64_t jobs = 1000000;
  int watchers = 1000;
  int watched_jobs = 100;
  int64_t malformed = 100000;
  std::string only;
};

double Now() { return absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()); }

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

grpc::ByteBuffer Bytes(const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

v1::RecommendRequest Question(int64_t variant) {
  static const char* const kModels[] = {"Llama-3.1-8B", "SmolLM2-135M", "Llama-2-7b-hf"};
  v1::RecommendRequest request;
  v1::Question& question = *request.mutable_question();
  question.set_model_name(kModels[variant % 3]);
  question.set_device_name("A100-80GB");
  question.mutable_workload()->set_context(1024 + variant / 3);
  question.mutable_workload()->set_rows_per_step(16);
  question.mutable_workload()->set_document_capacity(16);
  return request;
}

struct LoadResult {
  double calls_per_second = 0;
  double p99_seconds = 0;
  int64_t errors = 0;
};

// Unary calls of one method through completion queues, `in_flight` at once over `connections`. Each answer is taken as bytes; every
// hundredth is parsed.
class Load {
 public:
  Load(const std::string& address, std::string method, int connections, int in_flight,
       std::function<grpc::ByteBuffer(int64_t)> request_of)
      : method_(std::move(method)), in_flight_(in_flight), request_of_(std::move(request_of)) {
    for (int i = 0; i < connections; ++i)
      stubs_.push_back(std::make_unique<grpc::GenericStub>(Connect(address, i)));
  }

  LoadResult Run(double seconds) {
    end_ = Now() + seconds;
    const double start = Now();
    for (int i = 0; i < in_flight_; ++i) Send(i);
    void* tag = nullptr;
    bool ok = false;
    while (open_ > 0 && queue_.Next(&tag, &ok)) Receive(static_cast<Call*>(tag));
    const double elapsed = Now() - start;
    return {.calls_per_second = static_cast<double>(latencies_.size()) / elapsed,
            .p99_seconds = Percentile(latencies_, 0.99),
            .errors = errors_};
  }

 private:
  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer answer;
    grpc::Status status;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
    double start = 0;
    int slot = 0;
  };

  void Send(int slot) {
    auto* call = new Call;  // deleted by Receive
    call->slot = slot;
    call->start = Now();
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::GenericStub& stub = *stubs_[static_cast<size_t>(slot) % stubs_.size()];
    call->reader = stub.PrepareUnaryCall(&call->context, method_, request_of_(sent_++), &queue_);
    call->reader->StartCall();
    call->reader->Finish(&call->answer, &call->status, call);
    ++open_;
  }

  void Receive(Call* call) {
    --open_;
    latencies_.push_back(Now() - call->start);
    if (!call->status.ok() || (latencies_.size() % 100 == 0 && !IsGood(call->answer))) {
      if (errors_++ == 0) std::fprintf(stderr, "%s\n", call->status.error_message().c_str());
    }
    const int slot = call->slot;
    delete call;
    if (Now() < end_) Send(slot);
  }

  static bool IsGood(grpc::ByteBuffer& answer) {
    v1::RecommendResponse response;
    return grpc::GenericDeserialize<grpc::ProtoBufferReader, google::protobuf::Message>(&answer,
                                                                                        &response)
               .ok() &&
           response.ranked_size() > 0;
  }

  const std::string method_;
  const int in_flight_;
  const std::function<grpc::ByteBuffer(int64_t)> request_of_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  grpc::CompletionQueue queue_;
  std::vector<double> latencies_;
  int64_t sent_ = 0;
  int64_t errors_ = 0;
  int open_ = 0;
  double end_ = 0;
};

constexpr char kRecommend[] = "/tunesmith.v1.RecommenderService/Recommend";
using Figures = std::map<std::string, double>;

void MeasureCached(const Options& options, Figures& figures) {
  const ScratchDirectory scratch;
  ServerProcess server(scratch.path() + "/data", {}, {"--access-log", "none"});
  // A few questions, as a fleet of clients asks the same ones.
  std::vector<grpc::ByteBuffer> requests;
  for (int64_t i = 0; i < 16; ++i) requests.push_back(Bytes(Question(i)));
  const auto request_of = [&](int64_t i) {
    return requests[static_cast<size_t>(i) % requests.size()];
  };
  Load(server.address(), kRecommend, 2, 16, request_of).Run(1);
  const LoadResult result =
      Load(server.address(), kRecommend, 4, 64, request_of).Run(options.seconds);
  figures["cached_recommend_per_second"] = result.calls_per_second;
  figures["cached_p99_seconds"] = result.p99_seconds;
  figures["cached_error_count"] = static_cast<double>(result.errors);
}

void MeasureSearch(const Options& options, Figures& figures) {
  const ScratchDirectory scratch;
  ServerProcess server(scratch.path() + "/data", {}, {"--access-log", "none"});
  const auto request_of = [](int64_t i) { return Bytes(Question(i)); };
  const LoadResult result =
      Load(server.address(), kRecommend, 1, 8, request_of).Run(options.seconds);
  figures["search_per_second"] = result.calls_per_second;
  figures["search_p99_seconds"] = result.p99_seconds;
  figures["search_error_count"] = static_cast<double>(result.errors);
}

std::string CreateJob(ServerProcess& server, const v1::CreateJobRequest& request) {
  grpc::ClientContext context;
  v1::CreateJobResponse response;
  const grpc::Status status = server.jobs().CreateJob(&context, request, &response);
  if (!status.ok()) std::fprintf(stderr, "CreateJob: %s\n", status.error_message().c_str());
  return response.job().name();
}

// Streams of one completion queue, each counting what it gets.
class Watchers {
 public:
  explicit Watchers(const std::string& address) {
    for (int i = 0; i < 8; ++i) stubs_.push_back(v1::JobService::NewStub(Connect(address, i)));
  }

  void Add(const std::string& job) {
    auto* watcher = new Watcher;  // deleted in Run
    v1::WatchJobRequest request;
    request.set_name(job);
    watcher->reader = stubs_[static_cast<size_t>(count_++) % stubs_.size()]->AsyncWatchJob(
        &watcher->context, request, &queue_, watcher);
    ++open_;
  }

  // Until every stream has ended or the time is up; events that were missed, repeated or not sent.
  int64_t Run(double seconds) {
    const auto deadline = std::chrono::system_clock::now() +
                          std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
    void* tag = nullptr;
    bool ok = false;
    while (open_ > 0 && queue_.AsyncNext(&tag, &ok, deadline) == grpc::CompletionQueue::GOT_EVENT)
      Step(static_cast<Watcher*>(tag), ok);
    return lost_ + open_ * int64_t{1000000};
  }

  int64_t event_count() const { return events_; }

 private:
  enum class Phase { kStart, kRead, kFinish };
  struct Watcher {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientAsyncReader<v1::WatchJobResponse>> reader;
    v1::WatchJobResponse response;
    grpc::Status status;
    Phase phase = Phase::kStart;
    int64_t sequence = 0;
    int64_t last_sequence = -1;  // of the last snapshot
  };

  void Step(Watcher* watcher, bool ok) {
    if (watcher->phase == Phase::kFinish) return End(watcher);
    if (!ok) {
      watcher->phase = Phase::kFinish;
      return watcher->reader->Finish(&watcher->status, watcher);
    }
    if (watcher->phase == Phase::kRead) Take(*watcher);
    watcher->phase = Phase::kRead;
    watcher->reader->Read(&watcher->response, watcher);
  }

  void Take(Watcher& watcher) {
    if (watcher.response.has_snapshot())
      watcher.last_sequence = watcher.response.snapshot().last_sequence();
    if (!watcher.response.has_event()) return;
    ++events_;
    lost_ += std::abs(watcher.response.event().sequence() - watcher.sequence - 1);
    watcher.sequence = watcher.response.event().sequence();
  }

  void End(Watcher* watcher) {
    if (!watcher->status.ok())
      std::fprintf(stderr, "WatchJob: %s\n", watcher->status.error_message().c_str());
    lost_ += std::abs(watcher->last_sequence - watcher->sequence) + (watcher->status.ok() ? 0 : 1);
    delete watcher;
    --open_;
  }

  std::vector<std::unique_ptr<v1::JobService::Stub>> stubs_;
  grpc::CompletionQueue queue_;
  int count_ = 0;
  int64_t open_ = 0;
  int64_t lost_ = 0;
  int64_t events_ = 0;
};

void MeasureWatchers(const Options& options, Figures& figures) {
  const ScratchDirectory scratch;
  ServerProcess server(scratch.path() + "/data", {{"FAKE_STEP_MILLISECONDS", "100"}},
                       {"--access-log", "none", "--cpu-threads",
                        std::to_string(options.watched_jobs), "--host-memory", "1000000"});
  v1::CreateJobRequest request =
      TestJob(scratch, static_cast<int64_t>(std::max(20.0, options.seconds * 5)));
  request.mutable_spec()->set_thread_count(1);
  std::vector<std::string> jobs;
  for (int i = 0; i < options.watched_jobs; ++i) jobs.push_back(CreateJob(server, request));
  Watchers watchers(server.address());
  for (int i = 0; i < options.watchers; ++i)
    watchers.Add(jobs[static_cast<size_t>(i) % jobs.size()]);
  figures["watcher_lost_event_count"] = static_cast<double>(watchers.Run(300));
  figures["watcher_count"] = options.watchers;
  figures["watched_event_count"] = static_cast<double>(watchers.event_count());
  figures["watched_server_resident_bytes"] =
      static_cast<double>(UseOf(server.pid()).resident_bytes);
}

// Copies of one finished job, made by SQL; ids, states, models and times differ.
bool FillDatabase(const std::string& data_directory, int64_t count) {
  auto database = Database::Open(data_directory + "/tunesmith.db");
  if (!database.ok()) return false;
  const absl::Status status = database->Execute(
      "PRAGMA synchronous = OFF; PRAGMA cache_size = -200000; BEGIN; "
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
      std::to_string(count - 1) +
      ") INSERT INTO jobs (plan_id, uid, state, queue_position, launcher, model, create_micros, "
      "end_micros, event_offset, job) SELECT plan_id, 'uid-' || i, 4 + i % 3, queue_position + i, "
      "launcher, 'model-' || (i % 1000), create_micros + i * 1000, end_micros + i * 1000, "
      "event_offset, job FROM n, jobs WHERE job_id = 1; "
      "INSERT INTO events SELECT jobs.job_id, sequence, event FROM jobs JOIN events ON "
      "events.job_id = 1 AND sequence <= 2 WHERE jobs.job_id > 1; COMMIT; ANALYZE");
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok();
}

v1::ListJobsRequest ListRequest(int64_t i, int64_t jobs, std::mt19937_64& random) {
  v1::ListJobsRequest request;
  switch (i % 5) {
    case 0:
      break;
    case 4:
      request.set_filter("launcher = elsewhere");  // no job
      break;
    case 1:
      request.set_filter("model = \"model-" + std::to_string(random() % 1000) + "\"");
      break;
    case 2:
      request.set_filter("state = FAILED");
      break;
    default:
      request.set_filter(
          "state = SUCCEEDED AND model = \"model-" +
          std::to_string(random() % static_cast<uint64_t>(std::min<int64_t>(jobs, 1000))) + "\"");
  }
  return request;
}

void MeasureManyJobs(const Options& options, Figures& figures) {
  const ScratchDirectory scratch;
  const std::string data = scratch.path() + "/data";
  {
    ServerProcess server(data);
    server.WaitFor(CreateJob(server, TestJob(scratch, 3)));
  }
  if (!FillDatabase(data, options.jobs)) return;
  const double start = Now();
  ServerProcess server(data, {}, {"--access-log", "none"});
  std::mt19937_64 random(1);
  std::vector<double> latencies;
  for (int64_t i = 0; i < static_cast<int64_t>(options.seconds * 200); ++i) {
    const double begin = Now();
    grpc::ClientContext context;
    v1::ListJobsResponse page;
    v1::GetJobResponse job;
    v1::GetJobRequest get;
    get.set_name("jobs/job-" + std::to_string(1 + random() % static_cast<uint64_t>(options.jobs)));
    const grpc::Status status =
        i % 2 == 0
            ? server.jobs().GetJob(&context, get, &job)
            : server.jobs().ListJobs(&context, ListRequest(i / 2, options.jobs, random), &page);
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.error_message().c_str());
    if (i == 0) figures["million_job_start_seconds"] = Now() - start;
    latencies.push_back(Now() - begin);
  }
  figures["million_job_p99_seconds"] = Percentile(latencies, 0.99);
  figures["million_job_count"] = static_cast<double>(options.jobs);
}

void MeasureMalformed(const Options& options, Figures& figures) {
  const ScratchDirectory scratch;
  ServerProcess server(scratch.path() + "/data", {},
                       {"--access-log", "none", "--profiler", FakeProfilerPath()});
  const std::vector<WireSeed> seeds = WireSeeds(TestJob(scratch, 1));
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> faults{0};
  std::mutex codes_mutex;
  std::map<int, int64_t> codes;
  const auto work = [&](int number) {
    grpc::GenericStub stub(Connect(server.address(), number));
    for (int64_t i = next++; i < options.malformed; i = next++) {
      std::mt19937_64 random(static_cast<uint64_t>(i));
      const WireSeed& seed = seeds[random() % seeds.size()];
      const std::string bytes = Mutate(seed, random);
      const grpc::Status status = CallBytes(stub, seed.method, bytes);
      const grpc::StatusCode code = status.error_code();
      const bool proper = IsProper(code, Parses(seed, bytes));
      if (!proper && faults++ < 5)
        std::fprintf(stderr, "request %lld of %s: code %d: %s\n", static_cast<long long>(i),
                     seed.method.c_str(), code, status.error_message().c_str());
      std::lock_guard lock(codes_mutex);
      ++codes[code];
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  if (server.HasEnded() || !IsHealthy(Connect(server.address(), 99))) ++faults;
  for (const auto& [code, count] : codes)
    std::printf("malformed: code %2d  %8lld\n", code, static_cast<long long>(count));
  figures["malformed_request_count"] = static_cast<double>(options.malformed);
  figures["malformed_fault_count"] = static_cast<double>(faults);
}

void Print(const Figures& figures) {
  std::string json;
  for (const auto& [name, value] : figures) {
    std::printf("%-32s %16.6g\n", name.c_str(), value);
    json += absl::StrFormat("%s\"%s\": %.9g", json.empty() ? "" : ", ", name, value);
  }
  std::printf("{%s}\n", json.c_str());
}

int Main(const Options& options) {
  google::protobuf::SetLogHandler(nullptr);  // it tells of every string that is not UTF-8
  Figures figures;
  const auto wanted = [&](const char* part) {
    return options.only.empty() || options.only == part;
  };
  if (wanted("cached")) MeasureCached(options, figures);
  if (wanted("search")) MeasureSearch(options, figures);
  if (wanted("watch")) MeasureWatchers(options, figures);
  if (wanted("jobs")) MeasureManyJobs(options, figures);
  if (wanted("malformed")) MeasureMalformed(options, figures);
  Print(figures);
  return figures["malformed_fault_count"] + figures["watcher_lost_event_count"] > 0 ? 1 : 0;
}

}  // namespace
}  // namespace tunesmith::server

int main(int argc, char** argv) {
  tunesmith::server::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--short") {
      options.seconds = 2;
      options.jobs = 50000;
      options.watchers = 100;
      options.watched_jobs = 10;
      options.malformed = 5000;
      continue;
    }
    ++i;
    if (flag == "--seconds") {
      options.seconds = std::atof(value.c_str());
    } else if (flag == "--jobs") {
      options.jobs = std::atoll(value.c_str());
    } else if (flag == "--watchers") {
      options.watchers = std::atoi(value.c_str());
    } else if (flag == "--watched-jobs") {
      options.watched_jobs = std::atoi(value.c_str());
    } else if (flag == "--malformed") {
      options.malformed = std::atoll(value.c_str());
    } else if (flag == "--only") {
      options.only = value;
    } else {
      std::fprintf(stderr,
                   "usage: service_bench [--short] [--seconds S] [--jobs N] [--watchers N] "
                   "[--watched-jobs N] [--malformed N] "
                   "[--only cached|search|watch|jobs|malformed]\n");
      return 2;
    }
  }
  return tunesmith::server::Main(options);
}
