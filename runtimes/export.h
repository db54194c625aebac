#pragma once

#include <string>
#include <vector>

#include "runtimes/setup.h"

// Configuration files with which a stack runs a setup. Model and data are left to the user: the model's name is the setup's, data sets are named
// by a placeholder. Texts are deterministic.
namespace tunesmith::runtimes {

struct ExportedFile {
  std::string name;     // "deepspeed.json"
  std::string content;  // ends in a newline
};

// All files that fit the setup, in a fixed order: deepspeed.json (DeepSpeed), accelerate.yaml, train.py, axolotl.yaml, llama_factory.yaml,
// torchtune.yaml (one GPU or FSDP, no quantization but double NF4, whole epochs).
std::vector<ExportedFile> ExportFiles(const RunSetup& setup);

// One of them each. REQUIRES: ValidateSetup(setup) is OK; DeepSpeedJson: the runtime is DeepSpeed.
std::string DeepSpeedJson(const RunSetup& setup);
std::string AccelerateYaml(const RunSetup& setup);
std::string TrainerScript(const RunSetup& setup);
std::string AxolotlYaml(const RunSetup& setup);
std::string LlamaFactoryYaml(const RunSetup& setup);
std::string TorchtuneYaml(const RunSetup& setup);

// Whether torchtune has a recipe for the setup.
bool TorchtuneRuns(const RunSetup& setup);

}  // namespace tunesmith::runtimes
