#include "server/launch/slurm/slurm_commands.h"

#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/steady_time.h"
#include "common/str_cat.h"
#include "server/launch/slurm/slurm_states.h"

namespace tunesmith::server {
namespace {

// What Slurm's commands write when the same call may succeed later (texts of slurm_errno.h and of the
// scheduler's limits).
constexpr std::array<std::string_view, 24> kPassing = {
    "Unable to contact slurm controller", "Socket timed out", "Zero Bytes were transmitted",
    "Communication connection failure", "Connection refused", "Connection reset", "in standby mode",
    "temporarily unable to accept job", "Resource temporarily unavailable", "Slurm temporarily",
    "Munge", "uthentication", "MaxSubmitJob", "GrpSubmitJob", "Transport endpoint",
    "Message receive failure", "No route to host", "Network is unreachable",
    // Of names, and of a host that fetches its configuration.
    "Unable to resolve", "Unknown host", "name resolution", "Name or service not known",
    "failed to fetch config", "a configuration source"};

// Beginnings of variables that would change what commands do or write, as a script's options or the form of a list. (SLURM_CONF stays.)
constexpr std::array<std::string_view, 7> kHidden = {
    "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "SINFO_", "SLURM_CLUSTERS"};

bool MayPass(const std::string& text) {
  for (const std::string_view passing : kPassing) {
    if (text.find(passing) != std::string::npos) return true;
  }
  return false;
}

// Commands warn before they fail; the lines that say error are what counts.
std::string Complaint(const CommandResult& result) {
  std::vector<std::string> lines;
  for (const absl::string_view line : absl::StrSplit(result.errors, '\n', absl::SkipEmpty())) {
    if (absl::StrContains(line, "error") || absl::StrContains(line, "fail") ||
        absl::StrContains(line, "fatal"))
      lines.emplace_back(line);
  }
  std::string text;
  for (const std::string& line : lines) text += StrCat(text.empty() ? "" : "; ", line);
  return text.empty() ? FirstLine(result.errors) : text;
}

}  // namespace

absl::Status StatusOf(std::string_view command, const CommandResult& result) {
  if (result.status == 0) return absl::OkStatus();
  const std::string text = StrCat(command, ": ", Complaint(result));
  return MayPass(result.errors) ? absl::UnavailableError(text)
                                : absl::FailedPreconditionError(text);
}

absl::StatusOr<CommandResult> RunSlurm(std::vector<std::string> arguments, absl::Duration timeout,
                                       const std::string& directory, const std::string& input) {
  return RunCommand({.arguments = std::move(arguments),
                     .input = input,
                     .directory = directory,
                     .hidden_prefixes = {kHidden.begin(), kHidden.end()},
                     .timeout = timeout});
}

absl::Status SlurmQueue::Refresh(absl::Duration age) {
  TUNESMITH_RETURN_IF_ERROR(squeue_.Check());
  if (SteadyNow() - read_ < age) return absl::OkStatus();
  return squeue_.Note(ReadQueue(), interval_);
}

absl::Status SlurmQueue::ReadQueue() {
  const absl::Time asked = SteadyNow();  // the answer is of some moment after this
  read_ = absl::InfinitePast();
  const auto result = RunSlurm({"squeue", "--json", "--me", "--states=all"}, timeout_);
  const absl::Status status = result.ok() ? StatusOf("squeue", *result) : result.status();
  // squeue has no way of failing that says something about a job.
  if (!status.ok())
    return absl::UnavailableError(StrCat("Slurm does not answer: ", status.message()));
  const auto jobs = ParseSqueueJson(result->output);
  if (!jobs.ok()) return absl::UnavailableError(jobs.status().message());
  jobs_.clear();
  for (const SlurmJob& job : *jobs) jobs_[job.id] = job;
  read_ = asked;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<SlurmJob>> SlurmQueue::Find(int64_t id, absl::Duration age) {
  TUNESMITH_RETURN_IF_ERROR(Refresh(age));
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? std::nullopt : std::make_optional(found->second);
}

absl::StatusOr<std::optional<SlurmJob>> SlurmQueue::FindByName(const std::string& name) {
  TUNESMITH_RETURN_IF_ERROR(Refresh(absl::ZeroDuration()));
  std::optional<SlurmJob> best;
  for (const auto& [id, job] : jobs_) {
    if (job.name != name) continue;
    const bool ended = PhaseOf(job) == SlurmPhase::kEnded;
    if (!best || !ended || PhaseOf(*best) == SlurmPhase::kEnded) best = job;
  }
  return best;
}

// None: accounting does not know the job, or there is none.
absl::StatusOr<std::optional<SlurmJob>> SlurmQueue::AskAccounting(int64_t id) {
  TUNESMITH_RETURN_IF_ERROR(sacct_.Check());
  std::vector<std::string> words = {"sacct", "--jobs", StrCat(id), "--starttime=1970-01-01"};
  for (std::string& word : SacctFormat()) words.push_back(std::move(word));
  const auto result = RunSlurm(std::move(words), timeout_);
  if (absl::IsNotFound(result.status())) return std::nullopt;
  const bool is_disabled = result.ok() && absl::StrContains(result->errors, "is disabled");
  const absl::Status status = result.ok() ? StatusOf("sacct", *result) : result.status();
  if (!status.ok() && !is_disabled) {
    return sacct_.Note(
        absl::UnavailableError(StrCat("Slurm's accounting does not answer: ", status.message())),
        interval_);
  }
  std::vector<SlurmJob> jobs = ParseSacct(result->output);
  // What slurmctld has forgotten ("runaway") stays in accounting as it was last, for ever: that it runs says nothing.
  if (jobs.empty() || PhaseOf(jobs.back()) != SlurmPhase::kEnded) return std::nullopt;
  return std::move(jobs.back());
}

absl::StatusOr<std::optional<SlurmJob>> SlurmQueue::FindEnded(int64_t id) {
  TUNESMITH_ASSIGN_OR_RETURN(const auto accounted, AskAccounting(id));
  if (accounted) return accounted;
  TUNESMITH_RETURN_IF_ERROR(FindJobCompFile());
  const auto text =
      job_comp_file_->empty() ? absl::StatusOr<std::string>("") : ReadFile(*job_comp_file_);
  std::optional<SlurmJob> last;
  for (const SlurmJob& job : ParseJobComp(text.value_or(""))) {
    if (job.id == id) last = job;
  }
  return last;
}

// Where slurmctld writes down completed jobs, if it does so into a file that can be read here.
absl::Status SlurmQueue::FindJobCompFile() {
  if (job_comp_file_) return absl::OkStatus();
  TUNESMITH_RETURN_IF_ERROR(scontrol_.Check());
  const auto result = RunSlurm({"scontrol", "show", "config"}, timeout_);
  const absl::Status status = result.ok() ? StatusOf("scontrol", *result) : result.status();
  if (!status.ok()) {
    return scontrol_.Note(
        absl::UnavailableError(StrCat("Slurm does not answer: ", status.message())), interval_);
  }
  std::map<std::string, std::string> config;
  for (const absl::string_view line : absl::StrSplit(result->output, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    config[std::string(absl::StripAsciiWhitespace(pair.first))] =
        std::string(absl::StripAsciiWhitespace(pair.second));
  }
  job_comp_file_ = config["JobCompType"] == "jobcomp/filetxt" ? config["JobCompLoc"] : "";
  return absl::OkStatus();
}

}  // namespace tunesmith::server
