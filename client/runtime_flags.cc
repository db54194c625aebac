#include "client/runtime_flags.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "runtimes/search.h"

namespace tunesmith::client {
namespace {

using runtimes::kRuntimeNames;

std::string_view GivenFlag(const RuntimeFlags& flags) {
  if (!flags.checkpointing.empty()) return "--checkpointing";
  if (!flags.transformers.empty()) return "--transformers";
  if (!flags.torch.empty()) return "--torch";
  return flags.export_directory.empty() ? "" : "--export";
}

// "any" leaves the choice to Question.method, which then is unspecified.
void SetTunings(const std::string& method, v1::RuntimeQuestion& runtime) {
  if (method == "any") return;
  for (const std::string_view name : StrSplitSkipEmpty(method, ",")) {
    if (name == "full") runtime.add_tunings(v1::RUNTIME_TUNING_FULL);
    if (name == "lora") runtime.add_tunings(v1::RUNTIME_TUNING_LORA);
    if (name == "qlora") runtime.add_tunings(v1::RUNTIME_TUNING_QLORA);
  }
}

// A runtime has axes of its own for what the bundled trainer's are pinned by.
void TakeSharing(v1::Question& question, v1::RuntimeQuestion& runtime) {
  if (!question.has_pinned()) return;
  v1::PinnedAxes& pinned = *question.mutable_pinned();
  if (pinned.has_zero_stage()) runtime.set_zero_stage(pinned.zero_stage());
  runtime.set_offload(static_cast<v1::RuntimeOffload>(static_cast<int>(pinned.offload())));
  pinned.clear_zero_stage();
  pinned.clear_offload();
  if (pinned.ByteSizeLong() == 0) question.clear_pinned();
}

}  // namespace

void AddRuntimeFlags(CLI::App& app, RuntimeFlags& flags) {
  app.add_option("--runtime", flags.runtime, "Ask for another stack than the bundled trainer")
      ->check(CLI::IsMember(std::vector<std::string>(kRuntimeNames.begin(), kRuntimeNames.end())));
  app.add_option("--checkpointing", flags.checkpointing, "Pin whether that stack recomputes blocks")
      ->check(CLI::IsMember({"on", "off"}));
  app.add_option("--transformers", flags.transformers,
                 "Version of transformers there, such as 4.46.1");
  app.add_option("--torch", flags.torch, "Version of torch there, such as 2.5.1");
  app.add_option("--export", flags.export_directory,
                 "Write that stack's configuration of the chosen mix into a directory");
}

absl::Status SetRuntime(const RuntimeFlags& flags, const std::string& method,
                        v1::Question& question) {
  if (flags.runtime.empty()) {
    const std::string_view given = GivenFlag(flags);
    if (given.empty() && method.find(',') != std::string::npos)
      return absl::InvalidArgumentError(
          StrCat("--method ", method,
                 ": a list is for other runtimes; name one by --runtime, or one method"));
    if (given.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(StrCat(
        given, " is for other runtimes; name one by --runtime ", StrJoin(kRuntimeNames, ", ")));
  }
  TUNESMITH_ASSIGN_OR_RETURN(const runtimes::Runtime kind, runtimes::ParseRuntime(flags.runtime));
  v1::RuntimeQuestion& runtime = *question.mutable_runtime();
  runtime.set_kind(static_cast<v1::RuntimeKind>(static_cast<int>(kind) + 1));
  SetTunings(method, runtime);
  TakeSharing(question, runtime);
  if (!flags.checkpointing.empty()) {
    runtime.set_checkpointing(flags.checkpointing == "on" ? v1::RUNTIME_CHECKPOINTING_ON
                                                          : v1::RUNTIME_CHECKPOINTING_OFF);
  }
  runtime.set_transformers_version(flags.transformers);
  runtime.set_torch_version(flags.torch);
  runtime.set_with_files(!flags.export_directory.empty());
  return absl::OkStatus();
}

absl::Status WriteRuntimeFiles(const std::string& directory, const v1::RuntimeAnswer& answer) {
  if (directory.empty() || answer.files().empty()) return absl::OkStatus();
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error)
    return absl::InvalidArgumentError(StrCat("--export ", directory, ": ", error.message()));
  for (const v1::RuntimeFile& file : answer.files()) {
    TUNESMITH_RETURN_IF_ERROR(WriteFileAtomically(directory + "/" + file.name(), file.content()));
  }
  std::fprintf(stderr, "%d files written to %s\n", answer.files_size(), directory.c_str());
  return absl::OkStatus();
}

}  // namespace tunesmith::client
