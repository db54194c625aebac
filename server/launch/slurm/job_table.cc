#include "server/launch/slurm/job_table.h"

#include <sys/wait.h>

#include <map>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/str_cat.h"
#include "common/utf8.h"
#include "nlohmann/json.hpp"

namespace tunesmith::server {
namespace {

using Json = nlohmann::json;

std::string TextOf(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// A number, or {"set": true, "infinite": false, "number": N}; nothing where it is not set.
std::optional<int64_t> NumberOf(const Json& value) {
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_object()) return std::nullopt;
  const auto number = value.find("number");
  if (number == value.end() || !number->is_number_integer()) return std::nullopt;
  const auto flag = [&](const char* name, bool fallback) {
    const auto found = value.find(name);
    return found != value.end() && found->is_boolean() ? found->get<bool>() : fallback;
  };
  if (!flag("set", true) || flag("infinite", false)) return std::nullopt;
  return number->get<int64_t>();
}

std::optional<int64_t> NumberOf(const Json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() ? NumberOf(*found) : std::nullopt;
}

std::vector<std::string> StatesOf(const Json& job) {
  const auto found = job.find("job_state");
  if (found == job.end()) return {};
  if (found->is_string()) return {absl::AsciiStrToUpper(found->get<std::string>())};
  std::vector<std::string> states;
  for (const Json& state : *found) {
    if (state.is_string()) states.push_back(absl::AsciiStrToUpper(state.get<std::string>()));
  }
  return states;
}

void SetExit(const Json& job, SlurmJob& out) {
  const auto found = job.find("exit_code");
  if (found == job.end()) return;
  if (const auto wait_status = NumberOf(*found)) {
    const int status = static_cast<int>(*wait_status & 0xffff);
    out.exit_code = WEXITSTATUS(status);
    out.signal = WTERMSIG(status);
    return;
  }
  if (!found->is_object()) return;
  out.exit_code = NumberOf(*found, "return_code").value_or(0);
  const auto signal = found->find("signal");
  if (signal == found->end() || !signal->is_object()) return;
  // "signal_id" before 23.11.
  out.signal = NumberOf(*signal, signal->contains("id") ? "id" : "signal_id").value_or(0);
}

std::optional<SlurmJob> JobOf(const Json& job) {
  if (!job.is_object()) return std::nullopt;
  SlurmJob out;
  out.id = NumberOf(job, "job_id").value_or(0);
  out.name = TextOf(job, "name");
  out.states = StatesOf(job);
  if (out.id <= 0 || out.states.empty()) return std::nullopt;
  out.reason = TextOf(job, "state_reason");
  if (out.reason == "None") out.reason.clear();
  out.description = TextOf(job, "state_description");
  const int64_t start = NumberOf(job, "start_time").value_or(0);
  if (start > 0) out.start = absl::FromUnixSeconds(start);
  out.nodes = TextOf(job, "nodes");
  SetExit(job, out);
  return out;
}

// "3:0": exit code and signal.
bool ParseExit(absl::string_view text, SlurmJob& out) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  return parts.size() == 2 && absl::SimpleAtoi(parts[0], &out.exit_code) &&
         absl::SimpleAtoi(parts[1], &out.signal);
}

// "CANCELLED by 1000" is CANCELLED.
std::string FirstWord(absl::string_view text) {
  return std::string(text.substr(0, text.find(' ')));
}

}  // namespace

absl::StatusOr<std::vector<SlurmJob>> ParseSqueueJson(const std::string& text) {
  // Names, comments and reasons of jobs are bytes to Slurm.
  const Json document = Json::parse(ReplaceInvalidUtf8(text), nullptr, /*allow_exceptions=*/false);
  const auto jobs = document.is_object() ? document.find("jobs") : document.end();
  if (!document.is_object() || jobs == document.end() || !jobs->is_array()) {
    return absl::InvalidArgumentError(
        StrCat("squeue --json gave no list of jobs: ", text.substr(0, 200)));
  }
  std::vector<SlurmJob> out;
  for (const Json& job : *jobs) {
    if (auto read = JobOf(job)) out.push_back(*std::move(read));
  }
  return out;
}

std::vector<std::string> SacctFormat() {
  return {"--allocations", "--noheader", "--parsable2",
          "--format=JobIDRaw,State,ExitCode,NodeList,JobName"};
}

std::vector<SlurmJob> ParseSacct(std::string_view text) {
  std::vector<SlurmJob> jobs;
  for (const absl::string_view line : absl::StrSplit(ToAbsl(text), '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits('|', 4));  // a name may have bars
    SlurmJob job;
    if (parts.size() != 5 || !absl::SimpleAtoi(parts[0], &job.id) || parts[1].empty() ||
        !ParseExit(parts[2], job))
      continue;
    job.states = {FirstWord(parts[1])};
    job.nodes = std::string(parts[3]);
    job.name = std::string(parts[4]);
    jobs.push_back(std::move(job));
  }
  return jobs;
}

std::vector<SlurmJob> ParseJobComp(std::string_view text) {
  std::vector<SlurmJob> jobs;
  for (const absl::string_view line : absl::StrSplit(ToAbsl(text), '\n', absl::SkipEmpty())) {
    std::map<std::string, std::string> fields;
    for (const absl::string_view word : absl::StrSplit(line, ' ', absl::SkipEmpty())) {
      const std::pair<absl::string_view, absl::string_view> pair =
          absl::StrSplit(word, absl::MaxSplits('=', 1));
      fields.emplace(std::string(pair.first), std::string(pair.second));
    }
    SlurmJob job;
    if (!absl::SimpleAtoi(fields["JobId"], &job.id) || fields["JobState"].empty() ||
        !ParseExit(fields["ExitCode"], job))
      continue;
    job.states = {fields["JobState"]};
    job.name = fields["Name"];
    job.nodes = fields["NodeList"] == "(null)" ? "" : fields["NodeList"];
    jobs.push_back(std::move(job));
  }
  return jobs;
}

}  // namespace tunesmith::server
