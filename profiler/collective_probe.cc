#include "profiler/collective_probe.h"

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/command.h"
#include "common/median.h"
#include "common/mpi_launch.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/units.h"
#include "planner/program/op.h"
#include "planner/program/op_kind_name.h"
#include "profiler/run_step.h"
#include "proto/convert/json.h"
#include "proto/convert/prediction.h"
#include "trainer/comm/mpi_communicator.h"
#include "trainer/comm/rank_board.h"
#include "trainer/comm/rank_table.h"
#include "trainer/comm/thread_communicator.h"
#include "trainer/comm/time_limits.h"

namespace tunesmith::profiler {
namespace {

using planner::OpKind;
using planner::OpRate;
using trainer::Communicator;

constexpr OpKind kKinds[] = {OpKind::kAllGather, OpKind::kReduceScatter, OpKind::kAllReduce,
                             OpKind::kAllToAll};
constexpr int64_t kSizes[] = {256 * kKiB, 4 * kMiB, 32 * kMiB};
constexpr int64_t kRankCounts[] = {2, 4};
constexpr int kRounds = 3;
// Of a group: from then on each collective is measured once.
constexpr double kPatientSeconds = 4;
constexpr absl::Duration kPatience = absl::Seconds(20);  // with MPI's start

// What the ranks of one group need for a collective of `whole_count` floats.
struct Rank {
  Communicator& comm;
  std::vector<float> whole;
  std::vector<float> other;  // a shard, or a second whole
};

absl::Status Speak(OpKind kind, Rank& rank) {
  const int64_t size = rank.comm.size(), count = static_cast<int64_t>(rank.whole.size()),
                shard_count = count / size;
  switch (kind) {
    case OpKind::kAllGather:
      return rank.comm.AllGather(rank.other.data(), rank.whole.data(), 4 * shard_count);
    case OpKind::kReduceScatter:
      return rank.comm.ReduceScatter(rank.whole.data(), rank.other.data(), shard_count, DType::kF32,
                                     false);
    case OpKind::kAllReduce:
      return rank.comm.AllReduce(rank.whole.data(), count, DType::kF32);
    default:
      return rank.comm.AllToAll(rank.whole.data(), rank.other.data(), 4 * shard_count, size);
  }
}

// Whether any rank says so: all must do the same next.
absl::StatusOr<bool> AnySays(Communicator& comm, bool here) {
  std::vector<float> count(static_cast<size_t>(comm.size()), here ? 1.0f : 0.0f);
  TUNESMITH_RETURN_IF_ERROR(comm.AllReduce(count.data(), comm.size(), DType::kF32));
  return count[0] > 0;
}

// Median seconds from when all have come to when all have done it, after once to warm up.
absl::StatusOr<double> SecondsOf(OpKind kind, double patient_until, Rank& rank) {
  std::vector<double> seconds;
  bool is_late = false;
  for (int round = 0; round <= kRounds && !(is_late && round > 1); ++round) {
    TUNESMITH_RETURN_IF_ERROR(rank.comm.Barrier());
    const double start = MonotonicSeconds();
    TUNESMITH_RETURN_IF_ERROR(Speak(kind, rank));
    TUNESMITH_RETURN_IF_ERROR(rank.comm.Barrier());
    if (round > 0) seconds.push_back(MonotonicSeconds() - start);
    TUNESMITH_ASSIGN_OR_RETURN(is_late, AnySays(rank.comm, MonotonicSeconds() > patient_until));
  }
  return Median(seconds);
}

// What one rank of a group sees of it: all kinds and sizes.
absl::StatusOr<std::vector<OpRate>> RatesOf(Communicator& comm) {
  std::vector<OpRate> rates;
  const double patient_until = MonotonicSeconds() + kPatientSeconds;
  for (const OpKind kind : kKinds) {
    for (const int64_t bytes : kSizes) {
      const auto count = static_cast<size_t>(bytes / 4);
      Rank rank{.comm = comm,
                .whole = std::vector<float>(count, 1.0f),
                .other = std::vector<float>(count, 0.0f)};
      TUNESMITH_ASSIGN_OR_RETURN(const double seconds, SecondsOf(kind, patient_until, rank));
      rates.push_back({.op_kind = std::string(planner::OpKindName(kind)),
                       .bytes = bytes,
                       .bytes_per_second = static_cast<double>(bytes) / seconds,
                       .rank_count = comm.size()});
    }
  }
  return rates;
}

absl::StatusOr<std::vector<OpRate>> RatesOfThreads(int64_t rank_count) {
  const auto comms = trainer::MakeThreadCommunicators(rank_count, std::chrono::minutes(1));
  std::vector<absl::StatusOr<std::vector<OpRate>>> rates(comms.size(),
                                                         absl::UnknownError("not run"));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < comms.size(); ++i)
    threads.emplace_back([&, i] { rates[i] = RatesOf(*comms[i]); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& of_rank : rates) TUNESMITH_RETURN_IF_ERROR(of_rank.status());
  return *std::move(rates[0]);
}

// UNAVAILABLE: there is no MPI here, or it does not work.
absl::StatusOr<std::vector<OpRate>> RatesOfProcesses(const std::string& rank_binary,
                                                     int64_t rank_count) {
  CommandOptions command{.arguments = MpirunCommand(rank_binary, rank_count), .timeout = kPatience};
  if (command.arguments.empty()) return absl::UnavailableError(MpirunNeeds());
  command.arguments.push_back(rank_binary);
  command.arguments.push_back(kRankProbeFlag);
  TUNESMITH_ASSIGN_OR_RETURN(const CommandResult result, RunCommand(command));
  if (result.status != 0) return absl::UnavailableError(FirstLine(result.errors));
  v1::Calibration proto;
  TUNESMITH_RETURN_IF_ERROR(convert::FromJson(result.output, "rates of ranks", &proto));
  convert::Violations violations;
  planner::Calibration calibration = convert::CalibrationFromProto(proto, "", violations);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  return std::move(calibration.rates);
}

}  // namespace

absl::Status ProbeCollectives(const std::string& rank_binary, const Note& note,
                              planner::Calibration& calibration) {
  for (const int64_t rank_count : kRankCounts) {
    absl::StatusOr<std::vector<OpRate>> rates = absl::UnavailableError("");
    if (!rank_binary.empty()) rates = RatesOfProcesses(rank_binary, rank_count);
    if (!rates.ok() && !rank_binary.empty())
      note(StrCat("what ", rank_count,
                  " ranks tell each other was measured between threads, which are ",
                  "quicker than processes: ", std::string(rates.status().message())));
    if (!rates.ok()) rates = RatesOfThreads(rank_count);
    TUNESMITH_RETURN_IF_ERROR(rates.status());
    calibration.rates.insert(calibration.rates.end(), rates->begin(), rates->end());
  }
  return absl::OkStatus();
}

absl::Status RunRankProbe() {
  const trainer::Environment environment = trainer::ProcessEnvironment();
  TUNESMITH_ASSIGN_OR_RETURN(const trainer::RankPlace place, trainer::FindRank(environment));
  TUNESMITH_ASSIGN_OR_RETURN(const trainer::TimeLimits limits, trainer::TimeLimitsOf(environment));
  const trainer::RankBoard board("", environment, place);
  TUNESMITH_ASSIGN_OR_RETURN(const auto comm, trainer::OpenMpiCommunicator(place, limits, board));
  absl::StatusOr<std::vector<OpRate>> rates = RatesOf(*comm);
  if (!rates.ok()) comm->Abort(std::string(rates.status().message()));
  TUNESMITH_RETURN_IF_ERROR(rates.status());
  planner::Calibration calibration{.id = "ranks", .device_name = "cpu"};
  calibration.rates = *std::move(rates);
  if (comm->rank() == 0)
    std::printf("%s\n", convert::ToJson(convert::ToProto(calibration)).c_str());
  return absl::OkStatus();
}

}  // namespace tunesmith::profiler
