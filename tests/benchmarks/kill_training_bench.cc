// Kills the server, the shim or the trainer by SIGKILL at a drawn step of a fine-tune by the real trainer (a small model, on the CPU), starts the server again, resumes the job, and
// looks whether it comes to the same end as one that nobody disturbed.
//
//   kill_training_bench [--runs 12] [--seed 1]
//
// Runs take the three victims and two methods (LoRA, all weights) in turn. The last line of stdout is one JSON object:
//   run_count             runs
//   lost_job_count        jobs that are not there, or did not SUCCEED with all their steps
//   event_fault_count     jobs whose events have a hole or a repetition, or differ from those that their trainers wrote
//   loss_fault_count      jobs with a step of another loss than the undisturbed job had, to the last bit, taken once or twice
//   weight_fault_count    jobs whose saved weights differ in a byte
//   later_attempt_count, repeated_step_count   what the harm has cost
//   missed_harm_count     runs in which nothing was killed, or a job whose trainer died had no second attempt
// Exit status 0 when all faults and missed harms are 0.

#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "common/str_cat.h"
#include "planner/answer/search.h"
#include "proto/convert/json.h"
#include "proto/convert/plan.h"
#include "proto/convert/run_directory.h"
#include "server/process.h"
#include "tests/benchmarks/job_checks.h"
#include "tests/server/server_process.h"
#include "tests/trainer/job/job_files.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::server {
namespace {

constexpr int64_t kSteps = 240;
constexpr int64_t kCheckpointEvery = 20;
constexpr int64_t kLastHarm = 200;
constexpr absl::Duration kPatience = absl::Seconds(120);

enum class Victim { kServer, kShim, kTrainer };
constexpr Victim kVictims[] = {Victim::kServer, Victim::kShim, Victim::kTrainer};
constexpr const char* kNames[] = {"server", "shim", "trainer"};
constexpr const char* kMixes[] = {trainer::kLoraMix, trainer::kFullMix};

// What a job has come to.
struct Outcome {
  std::map<int64_t, double> losses;            // by step
  std::map<std::string, std::string> weights;  // by file
  int64_t repeated_step_count = 0;
  bool repeats_differ = false;
};

struct Tally {
  int64_t lost = 0, events = 0, losses = 0, weights = 0, missed = 0;  // faults
  int64_t later_attempts = 0, repeated_steps = 0;
  bool any() const { return lost + events + losses + weights + missed > 0; }
};

Outcome OutcomeOf(const v1::Job& job) {
  Outcome outcome;
  for (const v1::Event& event : trainer::ReadEvents(job.run_directory())) {
    if (!event.has_progress()) continue;
    const auto [at, is_new] =
        outcome.losses.emplace(event.progress().step(), event.progress().loss());
    outcome.repeated_step_count += is_new ? 0 : 1;
    outcome.repeats_differ |= at->second != event.progress().loss();
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           convert::InDirectory(job.run_directory(), convert::kOutputDirectory), error)) {
    if (entry.path().extension() == ".safetensors")
      outcome.weights[entry.path().filename().string()] = Slurp(entry.path().string());
  }
  return outcome;
}

class Run {
 public:
  explicit Run(const char* mix) : files_(mix) { Start(); }

  // Creates the job, disturbs it where there is a victim, and has it carried to its end. None: it never came there.
  std::optional<v1::Job> Execute(std::optional<Victim> victim, int64_t harm_step, Tally& tally) {
    name_ = Create();
    if (victim) Harm(*victim, harm_step, tally);
    const std::optional<v1::Job> job = CarryToItsEnd();
    if (!job || !victim) return job;
    tally.later_attempts += job->attempt() - 1;
    if (*victim != Victim::kServer && job->attempt() < 2) ++tally.missed;
    return job;
  }

  std::string EventFault(const v1::Job& job) { return EventFaultOf(*server_, job); }

 private:
  void Start() {
    server_ = std::make_unique<ServerProcess>(
        files_.File("data"), std::map<std::string, std::string>{},
        std::vector<std::string>{"--trainer", BinaryPath("tunesmith-trainer")});
  }

  std::string Create() {
    v1::CreateJobRequest request;
    const auto prediction = planner::Estimate(files_.question(), files_.mix());
    *request.mutable_plan() = convert::ToProto(convert::MakePlan(files_.question(), *prediction));
    *request.mutable_spec() = files_.spec();
    request.mutable_spec()->set_thread_count(1);
    request.mutable_spec()->set_checkpoint_every_step_count(kCheckpointEvery);
    request.mutable_spec()->mutable_training()->set_step_count(kSteps);
    v1::CreateJobResponse response;
    grpc::ClientContext context;
    const grpc::Status status = server_->jobs().CreateJob(&context, request, &response);
    if (!status.ok()) std::fprintf(stderr, "CreateJob: %s\n", status.error_message().c_str());
    return response.job().name();
  }

  std::optional<v1::Job> Get() {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_name(name_);
    v1::GetJobResponse response;
    if (!server_->jobs().GetJob(&context, request, &response).ok()) return std::nullopt;
    return response.job();
  }

  void Harm(Victim victim, int64_t step, Tally& tally) {
    std::optional<v1::Job> job = Get();
    const absl::Time deadline = absl::Now() + kPatience;
    while (job && job->progress().step() < step && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(2));
      job = Get();
    }
    if (!job || job->state() != v1::JOB_STATE_RUNNING) {
      ++tally.missed;
      return;
    }
    v1::ShimHandle handle;
    (void)convert::ReadJsonFile(convert::InDirectory(job->run_directory(), convert::kShimFile),
                                &handle, convert::UnknownFields::kIgnore);
    if (victim == Victim::kShim) SignalProcess(handle.pid(), handle.start_ticks(), SIGKILL);
    if (victim == Victim::kTrainer)
      SignalProcess(handle.trainer_pid(), handle.trainer_start_ticks(), SIGKILL);
    if (victim != Victim::kServer) return;
    server_->Kill();
    absl::SleepFor(absl::Milliseconds(step));  // the trainer goes on meanwhile, and may end
    Start();
  }

  std::optional<v1::Job> CarryToItsEnd() {
    const absl::Time deadline = absl::Now() + kPatience;
    std::optional<v1::Job> job;
    for (; absl::Now() < deadline; absl::SleepFor(absl::Milliseconds(20))) {
      job = Get();
      if (!job || job->state() == v1::JOB_STATE_SUCCEEDED) return job;
      if (job->state() != v1::JOB_STATE_FAILED) continue;
      if (job->cause() != v1::END_CAUSE_KILLED && job->cause() != v1::END_CAUSE_LOST) break;
      grpc::ClientContext context;
      v1::ResumeJobRequest request;
      request.set_name(name_);
      v1::ResumeJobResponse response;
      (void)server_->jobs().ResumeJob(&context, request, &response);
    }
    std::fprintf(stderr, "%s\n", job ? job->ShortDebugString().substr(0, 500).c_str() : "no job");
    return std::nullopt;
  }

  trainer::JobFiles files_;
  std::unique_ptr<ServerProcess> server_;
  std::string name_;
};

void Judge(Run& run, const v1::Job& job, const Outcome& undisturbed, Tally& tally) {
  const Outcome outcome = OutcomeOf(job);
  tally.repeated_steps += outcome.repeated_step_count;
  if (job.summary().step() != kSteps) ++tally.lost;
  if (outcome.repeats_differ || outcome.losses != undisturbed.losses) ++tally.losses;
  if (outcome.weights != undisturbed.weights) ++tally.weights;
  if (const std::string fault = run.EventFault(job); !fault.empty()) {
    std::fprintf(stderr, "%s\n", fault.c_str());
    ++tally.events;
  }
}

// REQUIRES: the trainer runs; else nothing is told.
std::optional<Outcome> Undisturbed(const char* mix) {
  Tally tally;
  Run run(mix);
  const auto job = run.Execute(std::nullopt, 0, tally);
  if (!job) return std::nullopt;
  Outcome outcome = OutcomeOf(*job);
  const bool whole = outcome.losses.size() == kSteps && !outcome.weights.empty();
  return whole ? std::make_optional(std::move(outcome)) : std::nullopt;
}

int Main(int run_count, uint64_t seed) {
  std::vector<Outcome> undisturbed;
  for (const char* mix : kMixes) {
    auto outcome = Undisturbed(mix);
    if (!outcome) {
      std::fprintf(stderr, "the undisturbed job did not come to its end\n");
      return 1;
    }
    undisturbed.push_back(*std::move(outcome));
  }
  Tally tally;
  std::mt19937_64 random(seed);
  for (int i = 0; i < run_count; ++i) {
    const auto victim = static_cast<size_t>(i) % std::size(kVictims);
    const auto mix = static_cast<size_t>(i) / std::size(kVictims) % std::size(kMixes);
    const int64_t step = std::uniform_int_distribution<int64_t>(1, kLastHarm)(random);
    Run run(kMixes[mix]);
    const int64_t repeated = tally.repeated_steps;
    const auto job = run.Execute(kVictims[victim], step, tally);
    if (job) Judge(run, *job, undisturbed[mix], tally);
    if (!job) ++tally.lost;
    std::printf("%-8s at step %3lld: attempt %lld, %3lld steps taken twice\n", kNames[victim],
                static_cast<long long>(step), static_cast<long long>(job ? job->attempt() : 0),
                static_cast<long long>(tally.repeated_steps - repeated));
    std::fflush(stdout);
  }
  std::printf(
      "%s\n",
      StrCat("{\"run_count\": ", run_count, ", \"lost_job_count\": ", tally.lost,
             ", \"event_fault_count\": ", tally.events, ", \"loss_fault_count\": ", tally.losses,
             ", \"weight_fault_count\": ", tally.weights, ", \"missed_harm_count\": ", tally.missed,
             ", \"later_attempt_count\": ", tally.later_attempts,
             ", \"repeated_step_count\": ", tally.repeated_steps, ", \"seed\": ", seed, "}")
          .c_str());
  return tally.any() ? 1 : 0;
}

}  // namespace
}  // namespace tunesmith::server

int main(int argc, char** argv) {
  int runs = 12;
  uint64_t seed = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--runs" && i + 1 < argc) {
      runs = std::atoi(argv[++i]);
    } else if (flag == "--seed" && i + 1 < argc) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else {
      std::fprintf(stderr, "usage: kill_training_bench [--runs 12] [--seed N]\n");
      return 2;
    }
  }
  return tunesmith::server::Main(runs, seed);
}
