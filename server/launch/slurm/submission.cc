#include "server/launch/slurm/submission.h"

#include <algorithm>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "server/error_info.h"
#include "server/launch/host_memory.h"
#include "server/launch/launcher.h"

namespace tunesmith::server {
namespace {

using google::protobuf::util::TimeUtil;

// slurmctld looks for jobs to warn about once a minute, and may warn as much early or late.
constexpr absl::Duration kSlurmsMinute = absl::Seconds(60);

absl::Duration TimeLimit(const v1::SlurmOptions& options) {
  return absl::Milliseconds(TimeUtil::DurationToMilliseconds(options.time_limit()));
}

int64_t NodesOf(const v1::Plan& plan) {
  return std::max<int64_t>(1, plan.inputs().devices().node_count());
}

void AddOption(const char* name, const std::string& value, std::vector<SbatchOption>& options) {
  if (!value.empty()) options.push_back({.name = name, .value = value});
}

absl::StatusOr<std::vector<SbatchOption>> OptionsOf(const v1::SlurmOptions& slurm) {
  std::vector<SbatchOption> options;
  AddOption("partition", slurm.partition(), options);
  AddOption("account", slurm.account(), options);
  AddOption("qos", slurm.qos(), options);
  for (const std::string& text : slurm.options()) {
    TUNESMITH_ASSIGN_OR_RETURN(options.emplace_back(), ParseSbatchOption(text));
  }
  return options;
}

}  // namespace

v1::SlurmOptions MergeSlurmOptions(const v1::SlurmOptions& defaults, const v1::SlurmOptions& own) {
  v1::SlurmOptions merged = own;
  if (own.partition().empty()) merged.set_partition(defaults.partition());
  if (own.account().empty()) merged.set_account(defaults.account());
  if (own.qos().empty()) merged.set_qos(defaults.qos());
  if (!own.has_time_limit() && defaults.has_time_limit())
    *merged.mutable_time_limit() = defaults.time_limit();
  if (own.options().empty()) *merged.mutable_options() = defaults.options();
  return merged;
}

absl::Status CheckSlurmOptions(const v1::SlurmOptions& options) {
  const std::pair<const char*, const std::string*> named[] = {{"partition", &options.partition()},
                                                              {"account", &options.account()},
                                                              {"qos", &options.qos()}};
  for (const auto& [name, value] : named) {
    if (!value->empty())
      TUNESMITH_RETURN_IF_ERROR(ParseSbatchOption(StrCat(name, "=", *value)).status());
  }
  for (const std::string& text : options.options()) {
    TUNESMITH_ASSIGN_OR_RETURN(const SbatchOption option, ParseSbatchOption(text));
    for (const auto& [name, value] : named) {
      // Or its beginning, which sbatch takes for it.
      if (std::string_view(name).starts_with(option.name))
        return absl::InvalidArgumentError(
            StrCat("the option ", option.name, ": ", name, " has a field of its own"));
    }
  }
  if (options.has_time_limit() && TimeLimit(options) <= absl::ZeroDuration())
    return absl::InvalidArgumentError("time_limit must be greater than 0");
  return absl::OkStatus();
}

absl::Duration WarningBeforeLimit(const SlurmLauncherOptions& options) {
  return options.grace + kSlurmsMinute;
}

absl::StatusOr<SbatchScript> ScriptOf(const SlurmLauncherOptions& options, const v1::Job& job) {
  const v1::SlurmOptions slurm = MergeSlurmOptions(options.defaults, job.slurm());
  SbatchScript script;
  script.job_name = ClusterJobName(job);
  script.node_count = NodesOf(job.plan());
  script.tasks_per_node = RanksPerNode(job.plan());
  // The threads of a node are shared by its ranks.
  script.cpus_per_task = std::max<int64_t>(
      1, (job.spec().thread_count() + script.tasks_per_node - 1) / script.tasks_per_node);
  if (job.spec().device() != "cpu") script.gpus_per_node = script.tasks_per_node;
  script.memory_bytes_per_node =
      HostBytesOf(job.plan(), job.spec(), script.tasks_per_node) + kStarterBytes;
  script.time_limit = TimeLimit(slurm);
  script.warning = WarningBeforeLimit(options);
  if (slurm.has_time_limit() && script.time_limit <= script.warning) {
    return WithReason(
        absl::FailedPreconditionError(StrCat(
            "the time limit of ", absl::FormatDuration(script.time_limit),
            " leaves no time to train: saving may begin ", absl::FormatDuration(script.warning),
            " before it (tunesmithd --grace-seconds, and Slurm's own minute); give more")),
        "TIME_LIMIT_TOO_SHORT");
  }
  TUNESMITH_ASSIGN_OR_RETURN(script.options, OptionsOf(slurm));
  script.command = ShimCommand(options.shim_path, options.trainer_path, options.grace, job);
  for (const std::string& word : {std::string("--slurm"), std::string("--fence-seconds"),
                                  StrCat(absl::ToDoubleSeconds(options.fence_delay))})
    script.command.push_back(word);
  return script;
}

}  // namespace tunesmith::server
