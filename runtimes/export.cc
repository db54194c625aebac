#include "runtimes/export.h"

namespace tunesmith::runtimes {

std::vector<ExportedFile> ExportFiles(const RunSetup& setup) {
  std::vector<ExportedFile> files;
  if (setup.runtime == Runtime::kDeepSpeed)
    files.push_back({"deepspeed.json", DeepSpeedJson(setup)});
  files.push_back({"accelerate.yaml", AccelerateYaml(setup)});
  files.push_back({"train.py", TrainerScript(setup)});
  files.push_back({"axolotl.yaml", AxolotlYaml(setup)});
  files.push_back({"llama_factory.yaml", LlamaFactoryYaml(setup)});
  if (TorchtuneRuns(setup)) files.push_back({"torchtune.yaml", TorchtuneYaml(setup)});
  return files;
}

}  // namespace tunesmith::runtimes
