// tunesmith-shim --run-dir DIR --attempt N --grace-seconds S --trainer PATH
// Started by tunesmithd only. Exit status 0: the attempt ended (see exit.json); 1: it was not run,
// the reason is on stderr.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "common/version.h"
#include "server/shim.h"

int main(int argc, char** argv) {
  CLI::App app("Runs one attempt of one Tunesmith job. Started by tunesmithd.");
  tunesmith::server::ShimOptions options;
  double grace_seconds = 60;
  app.add_option("--run-dir", options.run_directory, "The job's run directory")->required();
  app.add_option("--attempt", options.attempt, "Number of the attempt")
      ->required()
      ->check(CLI::PositiveNumber);
  app.add_option("--trainer", options.trainer_path, "Path of tunesmith-trainer")->required();
  app.add_option("--grace-seconds", grace_seconds, "From SIGTERM to SIGKILL")
      ->check(CLI::NonNegativeNumber);
  app.set_version_flag("--version", tunesmith::Version());
  CLI11_PARSE(app, argc, argv);
  options.grace = absl::Seconds(grace_seconds);
  close_range(3, ~0u, 0);  // whatever the server had open, its listening socket above all
  const absl::Status status = tunesmith::server::RunShim(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "tunesmith-shim: %s\n", status.ToString().c_str());
  return 1;
}
