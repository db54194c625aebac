#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "absl/strings/ascii.h"
#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/listings.h"
#include "client/positive.h"
#include "common/str_cat.h"

namespace tunesmith::client {
namespace {

struct JobFlags {
  std::string name;
  int64_t after_sequence = 0;
  int64_t limit = 50;
  std::string filter;
  std::string request_id;
  bool follow = false;
  int64_t tail_bytes = 0;
  Output output;
};

int Report(const absl::StatusOr<v1::Job>& job, const Output& output) {
  if (!job.ok()) return Fail(job.status());
  PrintJob(output, *job);
  return kExitOk;
}

// Pages are fetched until the limit is reached.
absl::StatusOr<v1::ListJobsResponse> ListUpTo(JobClient& jobs, int64_t limit,
                                              const std::string& filter) {
  v1::ListJobsResponse all;
  v1::ListJobsRequest request;
  request.set_filter(filter);
  do {
    request.set_page_size(limit - all.jobs_size());
    const auto page = jobs.List(request);
    if (!page.ok()) return page.status();
    all.mutable_jobs()->MergeFrom(page->jobs());
    all.set_next_page_token(page->next_page_token());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() && all.jobs_size() < limit);
  return all;
}

int RunList(const Globals& globals, const JobFlags& flags) {
  const auto answer = ListUpTo(*MakeJobClient(globals.Options()), flags.limit, flags.filter);
  if (!answer.ok()) return Fail(answer.status());
  Print(flags.output, *answer, JobListing(answer->jobs()));
  if (!answer->next_page_token().empty()) std::fprintf(stderr, "there are more; see --limit\n");
  return kExitOk;
}

using JobMethod = absl::StatusOr<v1::Job> (JobClient::*)(const std::string&);

int RunOne(const Globals& globals, const JobFlags& flags, JobMethod method) {
  const std::unique_ptr<JobClient> jobs = MakeJobClient(globals.Options());
  return Report((jobs.get()->*method)(FullJobName(flags.name)), flags.output);
}

int RunWatch(const Globals& globals, const JobFlags& flags) {
  const std::unique_ptr<JobClient> jobs = MakeJobClient(globals.Options());
  return FollowAndReport(*jobs, FullJobName(flags.name), flags.after_sequence, flags.output);
}

int RunResume(const Globals& globals, const JobFlags& flags) {
  v1::ResumeJobRequest request;
  request.set_name(FullJobName(flags.name));
  request.set_request_id(flags.request_id);
  return Report(MakeJobClient(globals.Options())->Resume(request), flags.output);
}

// The log's bytes go to stdout as they are.
int RunLogs(const Globals& globals, const JobFlags& flags) {
  v1::StreamLogsRequest request;
  request.set_name(FullJobName(flags.name));
  request.set_follow(flags.follow);
  request.set_tail_bytes(flags.tail_bytes);
  const absl::Status status = MakeJobClient(globals.Options())
                                  ->Logs(
                                      request,
                                      [](const std::string& bytes) {
                                        std::fwrite(bytes.data(), 1, bytes.size(), stdout);
                                        std::fflush(stdout);
                                      },
                                      [] { return false; });
  return status.ok() ? kExitOk : Fail(status);
}

CLI::App* AddJobCommand(CLI::App& parent, Globals& globals, const char* name,
                        const char* description, std::shared_ptr<JobFlags> flags,
                        std::function<int()> run) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->fallthrough();
  AddOutputFlags(*command, flags->output);
  command->callback([&globals, run = std::move(run)] { globals.run = run; });
  return command;
}

void AddNamed(CLI::App& parent, Globals& globals, const char* name, const char* description,
              JobMethod method) {
  auto flags = std::make_shared<JobFlags>();
  CLI::App* command =
      AddJobCommand(parent, globals, name, description, flags,
                    [&globals, flags, method] { return RunOne(globals, *flags, method); });
  command->add_option("JOB", flags->name, "jobs/job-7, job-7 or 7")->required();
}

}  // namespace

std::string FullJobName(const std::string& name) {
  if (name.starts_with("jobs/")) return name;
  const bool number = !name.empty() && std::all_of(name.begin(), name.end(), absl::ascii_isdigit);
  return StrCat("jobs/", number ? "job-" : "", name);
}

void AddJobs(CLI::App& app, Globals& globals) {
  CLI::App* parent = app.add_subcommand("jobs", "List, follow, stop and resume jobs");
  parent->require_subcommand(1);
  auto list = std::make_shared<JobFlags>();
  CLI::App* list_command = AddJobCommand(*parent, globals, "list", "List jobs, newest first", list,
                                         [&globals, list] { return RunList(globals, *list); });
  list_command->add_option("--limit", list->limit, "Most jobs to list")
      ->check(Positive())
      ->capture_default_str();
  list_command->add_option("--filter", list->filter,
                           "Comparisons joined by AND of state, model, launcher, uid, create_time "
                           "and end_time: 'state = FAILED AND model = \"SmolLM2-135M\"'");
  AddNamed(*parent, globals, "get", "Show a job", &JobClient::Get);
  auto watch = std::make_shared<JobFlags>();
  CLI::App* command = AddJobCommand(*parent, globals, "watch", "Follow a job to its end", watch,
                                    [&globals, watch] { return RunWatch(globals, *watch); });
  command->add_option("JOB", watch->name, "jobs/job-7, job-7 or 7")->required();
  command->add_option("--after", watch->after_sequence, "Only events after this sequence")
      ->check(NotNegative());
  AddNamed(*parent, globals, "cancel", "Stop a job; it saves a checkpoint", &JobClient::Cancel);
  auto resume = std::make_shared<JobFlags>();
  command = AddJobCommand(*parent, globals, "resume", "Go on with a failed or cancelled job",
                          resume, [&globals, resume] { return RunResume(globals, *resume); });
  command->add_option("JOB", resume->name, "jobs/job-7, job-7 or 7")->required();
  command->add_option("--request-id", resume->request_id,
                      "Repeating it with the same id resumes once");
  auto logs = std::make_shared<JobFlags>();
  command = AddJobCommand(*parent, globals, "logs", "Print what the trainer wrote", logs,
                          [&globals, logs] { return RunLogs(globals, *logs); });
  command->add_option("JOB", logs->name, "jobs/job-7, job-7 or 7")->required();
  command->add_flag("-f,--follow", logs->follow, "Go on until the job ends");
  command->add_option("--tail-bytes", logs->tail_bytes, "Only the last so many bytes")
      ->check(Positive());
}

}  // namespace tunesmith::client
