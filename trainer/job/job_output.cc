#include "trainer/job/job_output.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/unfinished_files.h"
#include "proto/convert/run_directory.h"
#include "trainer/job/job_setup.h"
#include "trainer/job/merge_adapter.h"
#include "trainer/job/save_result.h"

namespace tunesmith::trainer {
namespace {

// The base model with the adapter that was just written.
absl::Status SaveMerged(const convert::Plan& plan, const v1::JobSpec& spec,
                        const std::string& output) {
  TUNESMITH_ASSIGN_OR_RETURN(Adapter adapter, ReadAdapter(output));
  const BaseForm form = adapter.base_form;
  TUNESMITH_ASSIGN_OR_RETURN(auto base, OpenWeights(spec, plan.question.model));
  TUNESMITH_ASSIGN_OR_RETURN(const auto merged,
                             MergeAdapter(std::move(base), form, std::move(adapter)));
  const bool bf16 = plan.prediction.mix.precision == planner::Precision::kBf16;
  return SaveModel(*merged, spec.model_path(), bf16 ? DType::kBF16 : DType::kF32,
                   MergedDirectory(output));
}

// The template that the job's conversations were written by, where it is not the model's own.
absl::Status SaveChatTemplate(const std::string& text, const std::string& directory) {
  if (text.empty()) return absl::OkStatus();
  return WriteFileAtomically(directory + "/chat_template.jinja", text);
}

absl::Status CheckIsNotModel(const std::string& directory, const std::string& model_path) {
  std::error_code ignored;
  if (!std::filesystem::equivalent(directory, model_path, ignored)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("the output ", directory,
             " is the model itself, which the result would overwrite; name another directory"));
}

}  // namespace

std::string OutputDirectory(const v1::JobSpec& spec, const std::string& run_directory) {
  if (!spec.output_dir().empty()) return spec.output_dir();
  return convert::InDirectory(run_directory, convert::kOutputDirectory);
}

std::string MergedDirectory(const std::string& output) { return output + "/merged"; }

absl::Status PrepareOutput(const std::string& output, const std::string& model_path) {
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(output));
  for (const std::string& directory : {output, MergedDirectory(output)}) {
    TUNESMITH_RETURN_IF_ERROR(CheckIsNotModel(directory, model_path));
    RemoveUnfinishedFiles(directory);
  }
  if (access(output.c_str(), W_OK) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, StrCat("cannot write into the output directory ", output));
}

absl::Status CompleteOutput(const ModelCard& card, const std::string& chat_template,
                            const std::string& output) {
  if (card.spec.merge_output()) {
    TUNESMITH_RETURN_IF_ERROR(SaveMerged(card.plan, card.spec, output));
    TUNESMITH_RETURN_IF_ERROR(SaveChatTemplate(chat_template, MergedDirectory(output)));
  }
  TUNESMITH_RETURN_IF_ERROR(SaveChatTemplate(chat_template, output));
  return WriteFileAtomically(output + "/README.md", FormatModelCard(card));
}

}  // namespace tunesmith::trainer
