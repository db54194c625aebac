#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "client/command_tree.h"
#include "client/commands.h"
#include "client/completion.h"
#include "client/exit_codes.h"
#include "client/manual.h"
#include "common/file.h"
#include "common/str_cat.h"
#include "common/version.h"

namespace tunesmith::client {
namespace {

// A shell waits for it at every press of the key.
constexpr absl::Duration kJobTimeout = absl::Milliseconds(500);
constexpr int64_t kMostJobs = 50;

std::vector<Candidate> NamesOf(const auto& rows, auto describe) {
  std::vector<Candidate> names;
  for (const auto& row : rows) names.push_back({row.name(), describe(row)});
  return names;
}

std::vector<Candidate> JobNames(ClientOptions options, const std::string& server) {
  options.timeout = kJobTimeout;
  if (!server.empty()) options.server = server;
  v1::ListJobsRequest request;
  request.set_page_size(kMostJobs);
  const auto answer = MakeJobClient(options)->List(request);
  if (!answer.ok()) return {};
  return NamesOf(answer->jobs(),
                 [](const v1::Job& job) { return v1::JobState_Name(job.state()).substr(10); });
}

// The catalog is linked in; only jobs are the server's alone.
std::vector<Candidate> ValuesNamed(const Globals& globals, const std::string& name,
                                   const std::string& server) {
  if (name == "JOB" || name == "--job") return JobNames(globals.client, server);
  const auto catalog = MakeOfflineRecommender(kJobTimeout);
  if (name == "--model") {
    const auto answer = catalog->ListModels();
    if (answer.ok())
      return NamesOf(answer->models(), [](const v1::ModelSpec& model) { return model.family(); });
  }
  if (name == "--gpus" || name == "--gpu") {
    const auto answer = catalog->ListGpus();
    if (answer.ok())
      return NamesOf(answer->gpus(), [](const v1::Hardware& gpu) { return gpu.description(); });
  }
  return {};
}

// What environment and configuration file say, as for a command without flags. Where they are wrong, completion goes on without.
void ApplyConfiguration(CLI::App& app, const Globals& globals) {
  try {
    app.parse("version");
    (void)Configure(app, globals.use_context);
  } catch (const CLI::Error&) {
  }
}

int PrintCompletion(CLI::App& app, const Globals& globals, const std::vector<std::string>& words) {
  ApplyConfiguration(app, globals);
  const Completion completion =
      Complete(CommandTreeOf(app), words, [&](const std::string& name, const std::string& server) {
        return ValuesNamed(globals, name, server);
      });
  for (const Candidate& candidate : completion.candidates)
    std::printf("%s\t%s\n", candidate.text.c_str(), candidate.description.c_str());
  if (completion.files_too) std::puts(":files");
  return kExitOk;
}

absl::Status WriteManPages(const CommandNode& node, const std::string& directory) {
  const std::string path = StrCat(directory, "/", ManPageName(node), ".1");
  if (absl::Status status = WriteFileAtomically(path, ManPage(node, Version())); !status.ok())
    return status;
  for (const CommandNode& command : node.commands) {
    if (absl::Status status = WriteManPages(command, directory); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<int> RunShellVerb(CLI::App& app, const Globals& globals,
                                const std::vector<std::string>& arguments) {
  if (arguments.empty()) return std::nullopt;
  if (arguments[0] == "__complete")
    return PrintCompletion(app, globals, {arguments.begin() + 1, arguments.end()});
  if (arguments[0] == "__reference") {
    std::fputs(Reference(CommandTreeOf(app)).c_str(), stdout);
    return kExitOk;
  }
  if (arguments[0] != "__man-pages" || arguments.size() != 2) return std::nullopt;
  const absl::Status status = WriteManPages(CommandTreeOf(app), arguments[1]);
  return status.ok() ? kExitOk : Fail(status);
}

void AddCompletion(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand(
      "completion", "Print a shell's completion script: source <(tunesmith completion bash)");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([&globals, shell] {
    globals.run = [shell] {
      std::fputs(CompletionScript(*shell).c_str(), stdout);
      return static_cast<int>(kExitOk);
    };
  });
}

}  // namespace tunesmith::client
