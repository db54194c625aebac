#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/show.h"
#include "client/watch_view.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "proto/convert/json.h"

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

void AddFormatFlag(CLI::App& app, Format& format) {
  static const std::map<std::string, Format> formats = {{"table", Format::kTable},
                                                        {"json", Format::kJson}};
  app.add_option("-o,--format", format, "How the answer is printed: table (default) or json")
      ->transform(CLI::CheckedTransformer(formats))
      ->type_name("FORMAT");
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "tunesmith: %s\n", std::string(status.message()).c_str());
  return ExitCodeOf(status);
}

int FollowAndReport(JobClient& jobs, const std::string& name, int64_t after_sequence,
                    Format format) {
  const absl::StatusOr<v1::Job> job =
      FollowJob(jobs, name, after_sequence, format == Format::kJson);
  if (absl::IsCancelled(job.status())) return kExitInterrupted;
  if (!job.ok()) return Fail(job.status());
  if (format == Format::kTable) std::fputs(ShowJob(*job).c_str(), stdout);
  return job->state() == v1::JOB_STATE_SUCCEEDED ? kExitOk : kExitJobFailed;
}

void AddVersion(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand("version", "Print the version");
  auto format = std::make_shared<Format>(Format::kTable);
  AddFormatFlag(*command, *format);
  command->callback([&globals, format] {
    globals.run = [format] {
      std::printf(*format == Format::kJson ? "{\"version\": \"%s\"}\n" : "tunesmith %s\n",
                  Version());
      return static_cast<int>(kExitOk);
    };
  });
}

}  // namespace tunesmith::client
