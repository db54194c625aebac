#pragma once

#include <string>

#include "absl/status/status.h"
#include "tunesmith/v1/recommender.pb.h"

namespace CLI {
class App;
}

// The flags that ask for another stack than the bundled trainer.
namespace tunesmith::client {

struct RuntimeFlags {
  std::string runtime;  // empty: the bundled trainer
  std::string checkpointing;
  std::string export_directory;
  std::string transformers;
  std::string torch;
};

void AddRuntimeFlags(CLI::App& app, RuntimeFlags& flags);

// Sets question.runtime where a runtime is named, which then has what the question pinned of sharding and offload. `method` is --method: "any" or a list of full, lora and qlora. INVALID_ARGUMENT where a flag of
// other runtimes is given without --runtime.
absl::Status SetRuntime(const RuntimeFlags& flags, const std::string& method,
                        v1::Question& question);

// Writes the files of the answer into `directory`, which is made where it is missing, and says so on stderr.
absl::Status WriteRuntimeFiles(const std::string& directory, const v1::RuntimeAnswer& answer);

}  // namespace tunesmith::client
