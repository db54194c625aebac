// A server for a long time among everything that happens to one: all kinds of calls, jobs whose trainers and shims are killed, that are cancelled and resumed, watchers that
// come and go, readers that do not read, calibrations, certificates that are replaced and broken, nonsense, and its own death. Trainers are stand-ins.
//
//   soak_bench [--minutes 20] [--slurm] [--seed 1] [--samples FILE.csv]
//
// In the first third the server is killed again and again; then it lives on to the end, and what it takes is measured once a second, from the second
// quarter of that life on, when its caches are full. The last line of stdout is one JSON object; a *_spread is the standard error of what it is named
// after:
//   run_seconds, measured_seconds, restart_count, job_count, call_count
//   resident_growth_bytes_per_hour   slope of a line through the resident memory
//   heap_growth_bytes_per_hour       likewise of what the program has allocated and not freed: the rest is what malloc keeps
//   fd_growth, thread_growth         by such lines, how many more at the end of the measured time than at its beginning
//   database_bytes_per_job           slope over the jobs stored in the second half of the measured time; database_growth_bytes_per_job: less that of the first
//   lost_job_count, double_launch_count, event_fault_count   as kill_bench has them
//   improper_answer_count            calls that failed by the server's fault while it was not killed, nonsense that got a wrong status
//   unhealthy_count                  1: it had ended, or was not healthy, at the end
// Exit status 0 when the last five are 0; 77: Slurm is not installed.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "google/protobuf/stubs/logging.h"
#include "server/sqlite.h"
#include "tests/benchmarks/soak/growth.h"
#include "tests/benchmarks/soak/visitors.h"
#include "tests/benchmarks/wire_mutations.h"
#include "tests/server/api_calls.h"
#include "tests/server/http_reader.h"
#include "tests/server/process_use.h"
#include "tests/server/slurm_cluster.h"

namespace tunesmith::server {
namespace {

constexpr double kShareOfKills = 1.0 / 3;
constexpr double kShareOfWarming = 1.0 / 4;  // of the life after them
constexpr absl::Duration kSettlePatience = absl::Minutes(4);
constexpr double kHourSeconds = 3600;

struct Options {
  double minutes = 20;
  bool on_slurm = false;
  uint64_t seed = 1;
  std::string samples_path;  // where what was measured goes, second by second; empty: nowhere
};

// What the server took at one time.
struct Sample {
  double seconds = 0;  // since the first
  ProcessUse use;
  double heap_bytes = 0;
  int64_t job_count = 0;
  int64_t database_bytes = 0;
};

int64_t DatabaseBytes(const std::string& path) {
  auto database = Database::Open(path, OpenMode::kReadOnly);
  if (!database.ok()) return 0;
  return database->QueryInteger("PRAGMA page_count").value_or(0) *
         database->QueryInteger("PRAGMA page_size").value_or(0);
}

Slope SlopeOf(const std::vector<Sample>& samples,
              const std::function<Point(const Sample&)>& point) {
  std::vector<Point> points;
  for (const Sample& sample : samples) points.push_back(point(sample));
  return FitSlope(points);
}

using Figures = std::vector<std::pair<std::string, double>>;

void AddSlope(const std::string& name, Slope slope, double scale, Figures& figures) {
  figures.emplace_back(name, slope.value * scale);
  figures.emplace_back(name + "_spread", slope.spread * scale);
}

class Soak {
 public:
  explicit Soak(const Options& options)
      : options_(options),
        slurm_(options.on_slurm ? std::make_unique<SlurmCluster>() : nullptr),
        server_(LauncherFlags()),
        book_(FirstJob()) {}

  Figures Run() {
    const absl::Time start = absl::Now();
    const absl::Time end = start + absl::Minutes(options_.minutes);
    {
      Visitors visitors(server_, book_, counts_, options_.seed, options_.on_slurm ? 0.7 : 3);
      KillUntil(start + (end - start) * kShareOfKills);
      Measure(end);
    }
    unhealthy_count_ = server_.process().HasEnded() || !IsHealthy(server_.NewChannel()) ? 1 : 0;
    Look();
    WriteSamples();
    return Figured(absl::ToDoubleSeconds(absl::Now() - start));
  }

  bool has_faults() const {
    return lost_count_ + faults_.event_count + faults_.double_count + counts_.event_faults +
               counts_.doubles + counts_.improper_answers + unhealthy_count_ >
           0;
  }

 private:
  // What became of the jobs; without a server that tells, they are lost.
  void Look() {
    Caller caller(server_, counts_);
    lost_count_ = unhealthy_count_ > 0 ? book_.count() : book_.Settle(caller, kSettlePatience);
    if (unhealthy_count_ == 0) faults_ = book_.Check(server_.process());
  }

  std::vector<std::string> LauncherFlags() const {
    if (slurm_)
      return {"--launchers", "slurm", "--slurm-poll-seconds", "0.5", "--slurm-fence-seconds", "1"};
    return {"--cpu-threads", "4", "--host-memory", "1000000"};
  }

  v1::CreateJobRequest FirstJob() const {
    v1::CreateJobRequest request = TestJob(server_.scratch(), 1);
    request.mutable_spec()->set_thread_count(1);
    request.mutable_spec()->set_checkpoint_every_step_count(5);
    return request;
  }

  void KillUntil(absl::Time end) {
    JobBook::Random random(options_.seed);
    while (absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(std::uniform_int_distribution<int>(500, 20000)(random)));
      server_.Kill();
      ++restart_count_;
    }
  }

  void Measure(absl::Time end) {
    const absl::Time warm = absl::Now() + (end - absl::Now()) * kShareOfWarming;
    absl::SleepFor(warm - absl::Now());
    const int http_port = HttpPortOf(server_.process());
    for (; absl::Now() < end && !server_.process().HasEnded(); absl::SleepFor(absl::Seconds(1))) {
      const int64_t database_bytes = DatabaseBytes(server_.DatabasePath());
      if (database_bytes == 0) continue;  // it could not be read just now
      samples_.push_back({.seconds = absl::ToDoubleSeconds(absl::Now() - warm),
                          .use = UseOf(server_.process().pid()),
                          .heap_bytes = MetricOf(HttpGet(http_port, "/metrics"),
                                                 "tunesmith_heap_bytes{state=\"used\"}"),
                          .job_count = book_.count(),
                          .database_bytes = database_bytes});
    }
  }

  void AddGrowth(Figures& figures) const {
    const auto over_time = [&](auto quantity) {
      return SlopeOf(samples_, [&](const Sample& sample) {
        return Point{.x = sample.seconds, .y = static_cast<double>(quantity(sample))};
      });
    };
    const double seconds = samples_.empty() ? 0 : samples_.back().seconds;
    figures.emplace_back("measured_seconds", seconds);
    figures.emplace_back(
        "resident_bytes",
        samples_.empty() ? 0 : static_cast<double>(samples_.back().use.resident_bytes));
    AddSlope("resident_growth_bytes_per_hour",
             over_time([](const Sample& sample) { return sample.use.resident_bytes; }),
             kHourSeconds, figures);
    AddSlope("heap_growth_bytes_per_hour",
             over_time([](const Sample& sample) { return sample.heap_bytes; }), kHourSeconds,
             figures);
    AddSlope("fd_growth",
             over_time([](const Sample& sample) { return sample.use.open_file_count; }), seconds,
             figures);
    AddSlope("thread_growth",
             over_time([](const Sample& sample) { return sample.use.thread_count; }), seconds,
             figures);
    const auto half = samples_.begin() + static_cast<std::ptrdiff_t>(samples_.size() / 2);
    const auto by_job = [](const std::vector<Sample>& samples) {
      return SlopeOf(samples, [](const Sample& sample) {
        return Point{.x = static_cast<double>(sample.job_count),
                     .y = static_cast<double>(sample.database_bytes)};
      });
    };
    const Slope first = by_job({samples_.begin(), half});
    const Slope second = by_job({half, samples_.end()});
    AddSlope("database_bytes_per_job", second, 1, figures);
    AddSlope(
        "database_growth_bytes_per_job",
        {.value = second.value - first.value, .spread = std::hypot(first.spread, second.spread)}, 1,
        figures);
  }

  void WriteSamples() const {
    if (options_.samples_path.empty()) return;
    std::ofstream file(options_.samples_path);
    file << "seconds,resident_bytes,heap_bytes,job_count,database_bytes\n";
    for (const Sample& s : samples_)
      file << absl::StrFormat("%.1f,%d,%.0f,%d,%d\n", s.seconds, s.use.resident_bytes, s.heap_bytes,
                              s.job_count, s.database_bytes);
  }

  Figures Figured(double run_seconds) const {
    Figures figures;
    const auto add = [&](const char* name, auto value) {
      figures.emplace_back(name, static_cast<double>(value));
    };
    add("run_seconds", run_seconds);
    AddGrowth(figures);
    add("restart_count", restart_count_);
    add("job_count", book_.count());
    add("call_count", counts_.calls.load());
    add("stream_count", counts_.streams.load());
    add("killed_process_count", counts_.kills.load());
    add("cancel_count", counts_.cancels.load());
    add("resume_count", counts_.resumes.load());
    add("calibration_count", counts_.calibrations.load());
    add("certificate_renewal_count", counts_.renewals.load());
    add("lost_job_count", lost_count_);
    add("double_launch_count", faults_.double_count + counts_.doubles);
    add("event_fault_count", faults_.event_count + counts_.event_faults);
    add("improper_answer_count", counts_.improper_answers.load());
    add("unhealthy_count", unhealthy_count_);
    return figures;
  }

  const Options options_;
  const std::unique_ptr<SlurmCluster> slurm_;
  SoakServer server_;
  JobBook book_;
  SoakCounts counts_;
  std::vector<Sample> samples_;
  int64_t restart_count_ = 0;
  int64_t lost_count_ = 0;
  int64_t unhealthy_count_ = 0;
  JobBook::Faults faults_;
};

void Print(const Figures& figures) {
  std::string json;
  for (const auto& [name, value] : figures) {
    std::printf("%-40s %16.6g\n", name.c_str(), value);
    json += absl::StrFormat("%s\"%s\": %s", json.empty() ? "" : ", ", name,
                            std::isfinite(value) ? absl::StrFormat("%.9g", value) : "null");
  }
  std::printf("{%s}\n", json.c_str());
}

int Main(const Options& options) {
  google::protobuf::SetLogHandler(nullptr);  // it tells of every string that is not UTF-8
  Soak soak(options);
  Print(soak.Run());
  return soak.has_faults() ? 1 : 0;
}

}  // namespace
}  // namespace tunesmith::server

// What ctest takes for a test that was skipped.
constexpr int kSkipped = 77;

int main(int argc, char** argv) {
  tunesmith::server::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--slurm") {
      options.on_slurm = true;
    } else if (flag == "--minutes" && i + 1 < argc) {
      options.minutes = std::atof(argv[++i]);
    } else if (flag == "--samples" && i + 1 < argc) {
      options.samples_path = argv[++i];
    } else if (flag == "--seed" && i + 1 < argc) {
      options.seed = std::strtoull(argv[++i], nullptr, 10);
    } else {
      std::fprintf(stderr,
                   "usage: soak_bench [--minutes 20] [--slurm] [--seed N] [--samples FILE]\n");
      return 2;
    }
  }
  if (const std::string why = tunesmith::server::SlurmCluster::WhyAbsent();
      options.on_slurm && !why.empty()) {
    std::fprintf(stderr, "soak_bench: %s\n", why.c_str());
    return kSkipped;
  }
  return tunesmith::server::Main(options);
}
