#include "trainer/job/job_setup.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "planner/answer/candidates.h"
#include "planner/model/family.h"
#include "planner/program/build_program.h"
#include "proto/convert/job_spec.h"
#include "proto/convert/run_directory.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/job/device_room.h"
#include "trainer/job/rank_device.h"
#include "trainer/model_io/base_checksum.h"

namespace tunesmith::trainer {
namespace {

absl::StatusOr<planner::Program> BuildPlanned(const convert::Plan& plan) {
  const planner::Family* family = planner::FindFamily(plan.question.model.family);
  if (family != nullptr && !family->not_trained_because.empty())
    return absl::UnimplementedError(StrCat("the plan is for a model of the family ", family->name,
                                           ": ", family->not_trained_because));
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program program, planner::BuildProgram(planner::InputsFor(
                                                           plan.question, plan.prediction.mix)));
  const std::string digest = planner::ProgramDigest(program);
  if (digest != plan.prediction.program_digest) {
    return absl::FailedPreconditionError(StrCat(
        "the plan's program has digest ", plan.prediction.program_digest, ", this trainer builds ",
        digest, " from the same inputs: the plan was made by another version (",
        plan.planner_version, "); make it again"));
  }
  return program;
}

// When a file was last written: the date that a job's chat template sees, the same however often the job goes on.
int64_t TimeOf(const std::string& path) {
  struct stat status = {};
  return stat(path.c_str(), &status) == 0 ? status.st_mtime : 0;
}

absl::Status CheckVocabulary(const Tokenizer& tokenizer, const planner::ModelSpec& model) {
  if (tokenizer.vocab_size() <= model.vocab_size) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat("the tokenizer has ", tokenizer.vocab_size(),
                                              " tokens, the model's vocabulary only ",
                                              model.vocab_size, ": they do not belong together"));
}

absl::Status CheckMerge(const v1::JobSpec& spec, const planner::Mix& mix) {
  if (!spec.merge_output() || mix.method != planner::Method::kFull) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "merge_output is for adapters, and full fine-tuning makes none: it writes the whole model "
      "anyway; leave merge_output out");
}

absl::Status CheckRoom(const JobInputs& inputs, const std::string& device,
                       const OpContext& context) {
  if (context.cuda == nullptr) return absl::OkStatus();
  const CudaDeviceInfo& info = context.cuda->info();
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t free_bytes, context.cuda->FreeMemoryBytes());
  return CheckDeviceRoom(inputs.description.plan, {.device = StrCat(device, " (", info.name, ")"),
                                                   .memory_bytes = info.memory_bytes,
                                                   .free_bytes = free_bytes});
}

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> OpenWeights(const v1::JobSpec& spec,
                                                          const planner::ModelSpec& model) {
  if (spec.has_random_weights_seed())
    return RandomModel(model, static_cast<uint64_t>(spec.random_weights_seed()));
  return OpenModel(spec.model_path());
}

int64_t StepCountOf(const v1::Training& training, const Loader& loader, int64_t rows_per_step) {
  if (training.step_count() > 0) return training.step_count();
  const double rows = training.epoch_count() * static_cast<double>(loader.rows_in_epoch());
  return std::max<int64_t>(1, std::llround(std::ceil(rows / static_cast<double>(rows_per_step))));
}

absl::StatusOr<JobDescription> ReadJobFiles(const std::string& run_directory) {
  TUNESMITH_ASSIGN_OR_RETURN(convert::Plan plan, convert::ReadPlanFile(convert::InDirectory(
                                                     run_directory, convert::kPlanFile)));
  TUNESMITH_ASSIGN_OR_RETURN(v1::JobSpec spec, convert::ReadJobSpecFile(convert::InDirectory(
                                                   run_directory, convert::kJobSpecFile)));
  spec =
      convert::WithDefaults(std::move(spec), plan.prediction.mix.method != planner::Method::kFull);
  TUNESMITH_RETURN_IF_ERROR(CheckMerge(spec, plan.prediction.mix));
  return JobDescription{run_directory, std::move(plan), std::move(spec)};
}

absl::StatusOr<JobInputs> OpenJobInputs(JobDescription description) {
  const planner::Question& question = description.plan.question;
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program program, BuildPlanned(description.plan));
  TUNESMITH_ASSIGN_OR_RETURN(auto weights, OpenWeights(description.spec, question.model));
  const std::string job_path =
      convert::InDirectory(description.run_directory, convert::kJobSpecFile);
  TUNESMITH_ASSIGN_OR_RETURN(
      RowTokenizer rows, OpenRowTokenizer(description.spec.model_path(),
                                          description.spec.chat_template_path(), TimeOf(job_path)));
  TUNESMITH_RETURN_IF_ERROR(CheckVocabulary(*rows.tokenizer, question.model));
  TUNESMITH_ASSIGN_OR_RETURN(JobData data, OpenJobData(description.spec, question.workload, rows));
  std::string base_checksum, chat_template;
  if (const std::string& path = description.spec.chat_template_path(); !path.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(chat_template, ReadFile(path));
  }
  if (description.plan.prediction.mix.method != planner::Method::kFull) {
    TUNESMITH_ASSIGN_OR_RETURN(base_checksum, BaseChecksum(*weights));
  }
  return JobInputs{.description = std::move(description),
                   .program = std::move(program),
                   .weights = std::move(weights),
                   .base_checksum = std::move(base_checksum),
                   .tokenizer = std::move(rows.tokenizer),
                   .data = std::move(data),
                   .chat_template = std::move(chat_template)};
}

absl::StatusOr<JobSetup> SetUpRank(const JobInputs& inputs, Communicator* comm,
                                   int64_t thread_count, int64_t local_rank) {
  const v1::JobSpec& spec = inputs.description.spec;
  TUNESMITH_ASSIGN_OR_RETURN(const std::string name, DeviceOfRank(spec.device(), local_rank));
  TUNESMITH_ASSIGN_OR_RETURN(OpenDevice device, OpenDevice::Open(name, thread_count, comm));
  TUNESMITH_RETURN_IF_ERROR(CheckRoom(inputs, name, device.context()));
  const auto seed = static_cast<uint64_t>(spec.training().seed());
  TUNESMITH_ASSIGN_OR_RETURN(
      auto session, Session::Create(inputs.program, device.context(), *inputs.weights, seed));
  return JobSetup{.plan = inputs.description.plan,
                  .spec = spec,
                  .device = std::move(device),
                  .tokenizer = inputs.tokenizer,
                  .session = std::move(session),
                  .data = inputs.data,
                  .base_checksum = inputs.base_checksum,
                  .chat_template = inputs.chat_template};
}

}  // namespace tunesmith::trainer
