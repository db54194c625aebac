// tunesmith: the command line. Exit statuses are in client/exit_codes.h.

#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "client/commands.h"
#include "client/credential_flags.h"
#include "client/exit_codes.h"
#include "client/positive.h"
#include "common/str_cat.h"
#include "common/suggest.h"
#include "common/version.h"

namespace {

using tunesmith::client::Globals;

constexpr char kFooter[] =
    "Exit status: 0 ok; 1 error; 2 usage; 3 nothing fits; 4 not allowed; 5 the watched job did not "
    "succeed; 6 no "
    "server or no answer in time; "
    "7 not found; 130 interrupted.";

void AddGlobalFlags(CLI::App& app, Globals& globals) {
  app.add_option("--server", globals.client.server, "Server to ask, HOST:PORT or unix:PATH")
      ->envname("TUNESMITH_SERVER")
      ->capture_default_str();
  app.add_option("--use-context", globals.use_context,
                 "Named settings of the configuration file, see `config view`")
      ->envname("TUNESMITH_CONTEXT");
  app.add_option("--timeout", globals.timeout_seconds, "Seconds to wait for an answer")
      ->envname("TUNESMITH_TIMEOUT")
      ->check(tunesmith::client::Positive())
      ->capture_default_str();
  app.add_flag("--offline", globals.offline,
               "Answer recommend, estimate, size, models and gpus without a server")
      ->envname("TUNESMITH_OFFLINE");
  app.add_option_function<std::string>(
         "--color",
         [&globals](const std::string& mode) {
           globals.color = mode == "always"  ? tunesmith::client::ColorMode::kAlways
                           : mode == "never" ? tunesmith::client::ColorMode::kNever
                                             : tunesmith::client::ColorMode::kAuto;
         },
         "Colour in what people read; auto: on a terminal, unless NO_COLOR is set")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->default_str("auto")
      ->envname("TUNESMITH_COLOR");
  tunesmith::client::AddCredentialFlags(app, globals.credential_files);
  app.set_version_flag("--version", tunesmith::StrCat("tunesmith ", tunesmith::Version()));
}

const CLI::App* DeepestCommand(const CLI::App& app) {
  const CLI::App* deepest = &app;
  while (!deepest->get_subcommands().empty()) deepest = deepest->get_subcommands().front();
  return deepest;
}

// A command knows its own flags and those of its parents.
int ReportUnknownFlag(const CLI::App& command, const std::string& word) {
  std::vector<std::string> flags;
  for (const CLI::App* app = &command; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames())
        flags.push_back(tunesmith::StrCat("--", name));
    }
  }
  const std::string flag = word.substr(0, word.find('='));
  const std::vector<std::string> nearest = tunesmith::NearestNames(flag, flags);
  std::cerr << "tunesmith: " << command.get_name() << " has no flag '" << flag << "'"
            << (nearest.empty() ? "" : "; " + tunesmith::DidYouMean(flag, flags))
            << "\nRun with --help for all flags.\n";
  return tunesmith::client::kExitUsage;
}

// A word where a command must stand makes CLI11 miss the command without naming the word.
int ReportUsage(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* const deepest = DeepestCommand(app);
  const std::vector<std::string> words = app.remaining(true);
  const auto flag = std::find_if(words.begin(), words.end(),
                                 [](const std::string& word) { return word.starts_with("--"); });
  const bool unexpected = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError);
  if (unexpected && flag != words.end()) return ReportUnknownFlag(*deepest, *flag);
  const bool missing_command = deepest->get_require_subcommand_min() > 0;
  if (error.get_exit_code() == 0 || !missing_command || words.empty() || words[0].starts_with('-'))
    return app.exit(error) == 0 ? tunesmith::client::kExitOk : tunesmith::client::kExitUsage;
  std::vector<std::string> commands;
  for (const CLI::App* command : deepest->get_subcommands([](const CLI::App*) { return true; }))
    commands.push_back(command->get_name());
  std::cerr << "tunesmith: there is no command '" << words[0] << "'; "
            << tunesmith::DidYouMean(words[0], commands) << "\nRun with --help for all commands.\n";
  return tunesmith::client::kExitUsage;
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  CLI::App app(
      "Which mix of optimizations fine-tunes this model on these devices soonest? And then does it",
      "tunesmith");
  Globals globals;
  AddGlobalFlags(app, globals);
  app.footer(kFooter);
  app.fallthrough();
  app.require_subcommand(1);
  tunesmith::client::AddRecommend(app, globals);
  tunesmith::client::AddEstimate(app, globals);
  tunesmith::client::AddExplain(app, globals);
  tunesmith::client::AddCompare(app, globals);
  tunesmith::client::AddSize(app, globals);
  tunesmith::client::AddLaunch(app, globals);
  tunesmith::client::AddJobs(app, globals);
  tunesmith::client::AddReport(app, globals);
  tunesmith::client::AddExport(app, globals);
  tunesmith::client::AddEvaluate(app, globals);
  tunesmith::client::AddConvert(app, globals);
  tunesmith::client::AddCalibrate(app, globals);
  tunesmith::client::AddCalibration(app, globals);
  tunesmith::client::AddModels(app, globals);
  tunesmith::client::AddGpus(app, globals);
  tunesmith::client::AddClusters(app, globals);
  tunesmith::client::AddMeasurements(app, globals);
  tunesmith::client::AddDoctor(app, globals);
  tunesmith::client::AddSlurmHint(app, globals);
  tunesmith::client::AddConfig(app, globals);
  tunesmith::client::AddCompletion(app, globals);
  tunesmith::client::AddVersion(app, globals);
  if (const auto status =
          tunesmith::client::RunShellVerb(app, globals, {argv + 1, argv + std::max(1, argc)}))
    return *status;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ReportUsage(app, error);
  }
  auto configuration = tunesmith::client::Configure(app, globals.use_context);
  if (!configuration.ok()) return tunesmith::client::Fail(configuration.status());
  globals.configuration = *std::move(configuration);
  globals.names_server = app.count("--server") > 0 && !globals.offline;
  tunesmith::client::ChooseStyle(globals.color);
  if (const absl::Status status = globals.ReadCredentials(); !status.ok())
    return tunesmith::client::Fail(status);
  return globals.run();
}
