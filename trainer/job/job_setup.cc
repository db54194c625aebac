#include "trainer/job/job_setup.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/status_macros.h"
#include "common/text.h"
#include "planner/answer/candidates.h"
#include "planner/model/family.h"
#include "planner/program/build_program.h"
#include "proto/convert/job_spec.h"
#include "proto/convert/run_directory.h"
#include "trainer/data/documents.h"
#include "trainer/data/jsonl.h"

namespace tunesmith::trainer {
namespace {

absl::StatusOr<planner::Program> BuildPlanned(const convert::Plan& plan) {
  if (plan.prediction.mix.data_parallel != 1) {
    return absl::UnimplementedError(
        StrCat("the plan is for ", plan.prediction.mix.data_parallel,
               " devices; the bundled trainer runs on one so far: make a plan for one"));
  }
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

absl::StatusOr<std::unique_ptr<WeightSource>> OpenWeights(const v1::JobSpec& spec,
                                                          const planner::ModelSpec& model) {
  if (spec.has_random_weights_seed())
    return RandomModel(model, static_cast<uint64_t>(spec.random_weights_seed()));
  return OpenModel(spec.model_path());
}

absl::Status CheckVocabulary(const Tokenizer& tokenizer, const planner::ModelSpec& model) {
  if (tokenizer.vocab_size() <= model.vocab_size) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat("the tokenizer has ", tokenizer.vocab_size(),
                                              " tokens, the model's vocabulary only ",
                                              model.vocab_size, ": they do not belong together"));
}

}  // namespace

absl::StatusOr<Loader> OpenData(const std::string& path, const Tokenizer& tokenizer,
                                const planner::Workload& workload, bool shuffles, uint64_t seed,
                                bool skips_bad_rows, int64_t* skipped_row_count) {
  TUNESMITH_ASSIGN_OR_RETURN(const DataFile file,
                             ReadJsonl(path, {.skips_bad_rows = skips_bad_rows}));
  *skipped_row_count += file.skipped_row_count;
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<Document> documents, TokenizeRows(file, tokenizer));
  // A capacity of the whole row is none: the program then has no rows to name.
  const int64_t loss_capacity = planner::LossTokensPerRow(workload);
  // A capacity of 0 leaves the number of documents in a row open; a document has at least one token.
  const int64_t capacity =
      workload.document_capacity > 0 ? workload.document_capacity : workload.context;
  return Loader::Create(
      std::move(documents),
      {.context = workload.context,
       .document_capacity = capacity,
       .loss_token_capacity = loss_capacity < workload.context ? loss_capacity : 0,
       .repeats_documents = !shuffles,
       .shuffles = shuffles,
       .seed = seed});
}

int64_t StepCountOf(const v1::Training& training, const Loader& loader, int64_t rows_per_step) {
  if (training.step_count() > 0) return training.step_count();
  const double rows = training.epoch_count() * static_cast<double>(loader.rows_in_epoch());
  return std::max<int64_t>(1, std::llround(std::ceil(rows / static_cast<double>(rows_per_step))));
}

absl::StatusOr<JobSetup> SetUpJob(const std::string& run_directory) {
  TUNESMITH_ASSIGN_OR_RETURN(convert::Plan plan, convert::ReadPlanFile(convert::InDirectory(
                                                     run_directory, convert::kPlanFile)));
  TUNESMITH_ASSIGN_OR_RETURN(v1::JobSpec spec, convert::ReadJobSpecFile(convert::InDirectory(
                                                   run_directory, convert::kJobSpecFile)));
  spec =
      convert::WithDefaults(std::move(spec), plan.prediction.mix.method != planner::Method::kFull);
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program program, BuildPlanned(plan));
  TUNESMITH_ASSIGN_OR_RETURN(const auto weights, OpenWeights(spec, plan.question.model));
  TUNESMITH_ASSIGN_OR_RETURN(Tokenizer tokenizer, OpenTokenizer(spec.model_path()));
  TUNESMITH_RETURN_IF_ERROR(CheckVocabulary(tokenizer, plan.question.model));
  const auto seed = static_cast<uint64_t>(spec.training().seed());
  int64_t skipped = 0;
  TUNESMITH_ASSIGN_OR_RETURN(
      Loader training, OpenData(spec.dataset_path(), tokenizer, plan.question.workload, true, seed,
                                spec.skip_bad_rows(), &skipped));
  std::vector<Loader> evaluation;
  if (!spec.evaluation_path().empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(
        Loader held_out, OpenData(spec.evaluation_path(), tokenizer, plan.question.workload, false,
                                  seed, spec.skip_bad_rows(), &skipped));
    evaluation.push_back(std::move(held_out));
  }
  TUNESMITH_ASSIGN_OR_RETURN(OpenDevice device,
                             OpenDevice::Open(spec.device(), spec.thread_count()));
  TUNESMITH_ASSIGN_OR_RETURN(auto session,
                             Session::Create(std::move(program), device.context(), *weights, seed));
  return JobSetup{.plan = std::move(plan),
                  .spec = std::move(spec),
                  .device = std::move(device),
                  .tokenizer = std::move(tokenizer),
                  .session = std::move(session),
                  .training = std::move(training),
                  .evaluation = std::move(evaluation),
                  .skipped_row_count = skipped};
}

}  // namespace tunesmith::trainer
