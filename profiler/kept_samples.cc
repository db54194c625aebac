#include "profiler/kept_samples.h"

#include <time.h>

#include <filesystem>
#include <string>
#include <utility>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "planner/program/build_program.h"
#include "planner/program/op_kind_name.h"
#include "tunesmith/v1/calibration.pb.h"

namespace tunesmith::profiler {
namespace {

constexpr double kOldestSeconds = 6 * 3600;
constexpr char kExtension[] = ".probe";

// Since the host was started, sleep included. Nobody sets this clock.
double BootSeconds() {
  struct timespec now = {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::string BootId() { return ReadFile("/proc/sys/kernel/random/boot_id").value_or(""); }

v1::ProbedProgram ToProto(const Sample& sample) {
  v1::ProbedProgram probed;
  probed.set_step_seconds(sample.step_seconds);
  probed.set_step_spread(sample.step_spread);
  probed.set_spent_seconds(sample.spent_seconds);
  probed.set_outside_arena_bytes(sample.outside_arena_bytes);
  probed.set_waited_share(sample.waited_share);
  probed.set_pace_before_seconds(sample.pace_before_seconds);
  probed.set_pace_after_seconds(sample.pace_after_seconds);
  for (const auto& [key, rates] : sample.ops.rates()) {
    v1::ProbedOp& op = *probed.add_ops();
    op.set_op_kind(std::string(planner::OpKindName(key.first)));
    for (const int64_t size : key.second) op.add_sizes(size);
    op.mutable_rates()->Assign(rates.begin(), rates.end());
  }
  return probed;
}

std::optional<Sample> FromProto(const v1::ProbedProgram& probed,
                                const std::shared_ptr<const planner::Program>& program) {
  Sample sample{.program = program,
                .ops = OpStatistics(program.get()),
                .step_seconds = probed.step_seconds(),
                .step_spread = probed.step_spread(),
                .spent_seconds = probed.spent_seconds(),
                .outside_arena_bytes = probed.outside_arena_bytes(),
                .waited_share = probed.waited_share(),
                .pace_before_seconds = probed.pace_before_seconds(),
                .pace_after_seconds = probed.pace_after_seconds()};
  for (const v1::ProbedOp& op : probed.ops()) {
    const std::optional<planner::OpKind> kind = planner::OpKindFromName(op.op_kind());
    if (!kind || op.sizes_size() != 3) return std::nullopt;
    for (const double rate : op.rates())
      sample.ops.Add({*kind, {op.sizes(0), op.sizes(1), op.sizes(2)}}, rate);
  }
  return sample;
}

}  // namespace

std::string KeptSamples::PathOf(const planner::Program& program) const {
  return StrCat(directory_, "/", planner::ProgramDigest(program), kExtension);
}

std::optional<Sample> KeptSamples::Find(
    const std::shared_ptr<const planner::Program>& program) const {
  if (directory_.empty()) return std::nullopt;
  const absl::StatusOr<std::string> bytes = ReadFile(PathOf(*program));
  v1::ProbedProgram probed;
  if (!bytes.ok() || !probed.ParseFromString(*bytes)) return std::nullopt;
  const double age_seconds = BootSeconds() - probed.boot_seconds();
  if (probed.fingerprint() != fingerprint_ || probed.thread_count() != thread_count_ ||
      probed.boot_id() != BootId() || age_seconds < 0 || age_seconds > kOldestSeconds)
    return std::nullopt;
  return FromProto(probed, program);
}

absl::Status KeptSamples::Keep(const Sample& sample) const {
  if (directory_.empty()) return absl::OkStatus();
  v1::ProbedProgram probed = ToProto(sample);
  probed.set_fingerprint(fingerprint_);
  probed.set_thread_count(thread_count_);
  probed.set_boot_id(BootId());
  probed.set_boot_seconds(BootSeconds());
  absl::Status status = MakeDirectories(directory_);
  if (status.ok())
    status = WriteFileAtomically(PathOf(*sample.program), probed.SerializeAsString());
  if (status.ok()) return status;
  return {status.code(), StrCat("what was measured cannot be kept, nor will the calibration be: ",
                                status.message())};
}

// The directory may hold what others put there.
void ClearKeptSamples(const std::string& directory) {
  if (directory.empty()) return;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().extension() == kExtension) std::filesystem::remove(entry->path(), error);
  std::filesystem::remove(directory, error);
}

}  // namespace tunesmith::profiler
