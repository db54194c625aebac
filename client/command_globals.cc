#include <CLI/CLI.hpp>
#include <cstdio>

#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/listings.h"
#include "client/show.h"
#include "client/watch_view.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/version.h"

namespace tunesmith::client {

ClientOptions Globals::Options() const {
  ClientOptions options = client;
  options.timeout = absl::Seconds(timeout_seconds);
  return options;
}

absl::Status Globals::ReadCredentials() {
  if (offline) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(client.credentials,
                             client::ReadCredentials(credential_files, client.server));
  return absl::OkStatus();
}

std::unique_ptr<Recommender> Globals::MakeRecommender() const {
  const ClientOptions options = Options();
  return offline ? MakeOfflineRecommender(options.timeout) : MakeRemoteRecommender(options);
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "tunesmith: %s\n", std::string(status.message()).c_str());
  return ExitCodeOf(status);
}

int FollowAndReport(JobClient& jobs, const std::string& name, const FollowOptions& options,
                    const Output& output) {
  const bool json_lines = output.format == Format::kJson && !options.quiet;
  const absl::StatusOr<v1::Job> job = FollowJob(jobs, name, options.after_sequence,
                                                options.quiet ? FollowStyle::kQuiet
                                                : json_lines  ? FollowStyle::kJsonLines
                                                              : FollowStyle::kView,
                                                options.patience);
  if (absl::IsCancelled(job.status())) return kExitInterrupted;
  if (!job.ok()) return Fail(job.status());
  // The last JSON line is the job as it ended.
  if (!json_lines) PrintJob(output, *job);
  return job->state() == v1::JOB_STATE_SUCCEEDED ? kExitOk : kExitJobFailed;
}

void PrintJob(const Output& output, const v1::Job& job) {
  Print(output, job, ListingOf(JobListing, job), output.IsText() ? ShowJob(job) : "");
}

void AddVersion(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand("version", "Print the version");
  auto output = std::make_shared<Output>();
  AddOutputFlags(*command, *output);
  command->callback([&globals, output] {
    globals.run = [output] {
      Listing records({{"version", "version"}}, "version");
      records.AddRow({Version()});
      PrintJson(*output, StrCat("{\"version\": \"", Version(), "\"}"), records,
                StrCat("tunesmith ", Version(), "\n"));
      return static_cast<int>(kExitOk);
    };
  });
}

}  // namespace tunesmith::client
