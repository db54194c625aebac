#include "server/launch/slurm/slurm_commands.h"

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "server/launch/slurm/slurm_states.h"

namespace tunesmith::server {
namespace {

// What Slurm's commands write when the same call may succeed later (texts of slurm_errno.h and of the
// scheduler's limits).
constexpr std::array<std::string_view, 16> kPassing = {"Unable to contact slurm controller",
                                                       "Socket timed out",
                                                       "Zero Bytes were transmitted",
                                                       "Communication connection failure",
                                                       "Connection refused",
                                                       "Connection reset",
                                                       "in standby mode",
                                                       "temporarily unable to accept job",
                                                       "Resource temporarily unavailable",
                                                       "Slurm temporarily",
                                                       "Munge",
                                                       "uthentication",
                                                       "MaxSubmitJob",
                                                       "GrpSubmitJob",
                                                       "Transport endpoint",
                                                       "Message receive failure"};

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
                     .hidden_prefix = "SBATCH_",
                     .timeout = timeout});
}

absl::Status SlurmQueue::Refresh(absl::Duration age) {
  const absl::Time now = absl::Now();
  if (problem_.ok() && now - read_ < age) return absl::OkStatus();
  if (!problem_.ok() && now - tried_ < interval_) return problem_;
  // The answer is of some moment after this.
  tried_ = now;
  const auto result = RunSlurm({"squeue", "--json", "--me", "--states=all"}, timeout_);
  problem_ = result.ok() ? StatusOf("squeue", *result) : result.status();
  // squeue has no way of failing that says something about a job.
  if (!problem_.ok())
    return problem_ = absl::UnavailableError(StrCat("Slurm does not answer: ", problem_.message()));
  const auto jobs = ParseSqueueJson(result->output);
  if (!jobs.ok()) return problem_ = absl::UnavailableError(jobs.status().message());
  jobs_.clear();
  for (const SlurmJob& job : *jobs) jobs_[job.id] = job;
  read_ = now;
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

absl::StatusOr<std::optional<SlurmJob>> SlurmQueue::FindEnded(int64_t id) {
  if (absl::Now() < ask_accounting_again_)
    return absl::UnavailableError("Slurm's accounting does not answer");
  std::vector<std::string> words = {"sacct", "--jobs", StrCat(id), "--starttime=1970-01-01"};
  for (std::string& word : SacctFormat()) words.push_back(std::move(word));
  const auto result = RunSlurm(std::move(words), timeout_);
  TUNESMITH_RETURN_IF_ERROR(result.status());
  if (result->status == 0) {
    std::vector<SlurmJob> jobs = ParseSacct(result->output);
    if (!jobs.empty()) return jobs.back();
  } else if (!absl::StrContains(result->errors, "is disabled")) {
    ask_accounting_again_ = absl::Now() + interval_;
    return absl::UnavailableError(StatusOf("sacct", *result).message());
  }
  const std::string path = JobCompFile();
  const auto text = path.empty() ? absl::StatusOr<std::string>("") : ReadFile(path);
  std::optional<SlurmJob> last;
  for (const SlurmJob& job : ParseJobComp(text.value_or(""))) {
    if (job.id == id) last = job;
  }
  return last;
}

// Where slurmctld writes down completed jobs, if it does so into a file that can be read here.
std::string SlurmQueue::JobCompFile() {
  if (job_comp_file_) return *job_comp_file_;
  const auto result = RunSlurm({"scontrol", "show", "config"}, timeout_);
  if (!result.ok() || result->status != 0) return "";
  std::map<std::string, std::string> config;
  for (const absl::string_view line : absl::StrSplit(result->output, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    config[std::string(absl::StripAsciiWhitespace(pair.first))] =
        std::string(absl::StripAsciiWhitespace(pair.second));
  }
  job_comp_file_ = config["JobCompType"] == "jobcomp/filetxt" ? config["JobCompLoc"] : "";
  return *job_comp_file_;
}

}  // namespace tunesmith::server
