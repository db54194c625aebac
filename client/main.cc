// tunesmith: the command line. Exit statuses are in client/exit_codes.h.

#include <signal.h>

#include <CLI/CLI.hpp>

#include "client/commands.h"
#include "client/exit_codes.h"
#include "common/str_cat.h"
#include "common/version.h"

namespace {

using tunesmith::client::Globals;

constexpr char kFooter[] =
    "Exit status: 0 ok; 1 error; 2 usage; 3 nothing fits; 5 the watched job did not succeed; 6 no "
    "server or no answer in time; "
    "7 not found; 130 interrupted.";

void AddGlobalFlags(CLI::App& app, Globals& globals) {
  app.add_option("--server", globals.client.server, "Server to ask, HOST:PORT")
      ->envname("TUNESMITH_SERVER")
      ->capture_default_str();
  app.add_option("--timeout", globals.timeout_seconds, "Seconds to wait for an answer")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--offline", globals.offline,
               "Answer recommend, estimate, models and gpus without a server");
  app.set_version_flag("--version", tunesmith::StrCat("tunesmith ", tunesmith::Version()));
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  CLI::App app(
      "Which mix of optimizations fine-tunes this model on these devices soonest? And then does "
      "it.");
  Globals globals;
  AddGlobalFlags(app, globals);
  app.footer(kFooter);
  app.fallthrough();
  app.require_subcommand(1);
  tunesmith::client::AddRecommend(app, globals);
  tunesmith::client::AddEstimate(app, globals);
  tunesmith::client::AddLaunch(app, globals);
  tunesmith::client::AddJobs(app, globals);
  tunesmith::client::AddEvaluate(app, globals);
  tunesmith::client::AddModels(app, globals);
  tunesmith::client::AddGpus(app, globals);
  tunesmith::client::AddVersion(app, globals);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? tunesmith::client::kExitOk : tunesmith::client::kExitUsage;
  }
  return globals.run();
}
