#include "trainer/job/evaluate.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "planner/program/build_program.h"
#include "planner/program/layer_parameters.h"
#include "trainer/job/job_setup.h"
#include "trainer/model_io/adapter.h"

namespace tunesmith::trainer {
namespace {

// Rows that are evaluated at once hold about so many tokens: enough for matrix products to run at their rate.
constexpr int64_t kTokensAtOnce = 2048;

// The targets that an adapter's modules name. Modules that it lacks in some layers stay at zero.
absl::StatusOr<planner::LoraSpec> LoraOf(const Adapter& adapter) {
  planner::LoraSpec lora{.rank = adapter.rank, .alpha = adapter.alpha, .targets = 0};
  for (const AdapterModule& module : adapter.modules) {
    int found = -1;
    for (int i = 0; i < planner::kProjectionCount; ++i) {
      if (module.name.ends_with(std::string(".") + planner::ProjectionPath(i))) found = i;
    }
    if (found < 0)
      return absl::FailedPreconditionError(
          StrCat("adapter module ", module.name, " is not a linear layer of this model"));
    lora.targets |= 1u << found;
  }
  if (lora.targets == 0) return absl::FailedPreconditionError("the adapter has no modules");
  return lora;
}

absl::Status LoadAdapter(const Adapter& adapter, Session& session) {
  for (const AdapterModule& module : adapter.modules) {
    TUNESMITH_RETURN_IF_ERROR(session.WriteWeight(module.name + ".lora_A.weight", module.a));
    TUNESMITH_RETURN_IF_ERROR(session.WriteWeight(module.name + ".lora_B.weight", module.b));
  }
  return absl::OkStatus();
}

planner::ProgramInputs InputsOf(const EvaluateOptions& options, const planner::ModelSpec& model,
                                const OpContext& context,
                                const std::optional<planner::LoraSpec>& lora) {
  planner::ProgramInputs in{.model = model, .backend = {.kind = context.device}, .trains = false};
  in.mix.method = lora ? planner::Method::kLora : planner::Method::kFull;
  if (lora) in.mix.lora = *lora;
  if (context.device == planner::BackendKind::kCuda) in.mix.precision = planner::Precision::kBf16;
  if (context.device == planner::BackendKind::kCpu)
    in.mix.attention = planner::AttentionKernel::kFlash;
  in.mix.recompute[0] = model.layer_count;
  in.mix.micro_batch = std::max<int64_t>(1, kTokensAtOnce / options.context);
  in.workload = {
      .context = options.context, .rows_per_step = in.mix.micro_batch, .generates = false};
  return in;
}

}  // namespace

absl::StatusOr<Evaluation> SetUpEvaluation(const EvaluateOptions& options) {
  if (options.context < 2)
    return absl::InvalidArgumentError(
        StrCat("context: ", options.context, " tokens, must be at least 2"));
  TUNESMITH_ASSIGN_OR_RETURN(const auto weights, OpenModel(options.model_path));
  TUNESMITH_ASSIGN_OR_RETURN(const RowTokenizer rows,
                             OpenRowTokenizer(options.model_path, options.data.chat_template_path,
                                              absl::ToUnixSeconds(absl::Now())));
  std::optional<Adapter> adapter;
  std::optional<planner::LoraSpec> lora;
  if (!options.adapter_path.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(adapter, ReadAdapter(options.adapter_path));
    TUNESMITH_ASSIGN_OR_RETURN(lora, LoraOf(*adapter));
  }
  TUNESMITH_ASSIGN_OR_RETURN(OpenDevice device,
                             OpenDevice::Open(options.device, options.thread_count));
  const planner::ProgramInputs inputs = InputsOf(options, weights->spec(), device.context(), lora);
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program program, planner::BuildProgram(inputs));
  TUNESMITH_ASSIGN_OR_RETURN(DataSet data_set,
                             OpenDataSet(options.dataset_path, rows,
                                         {.format = options.data.format,
                                          .skips_bad_rows = options.data.skips_bad_rows,
                                          .context = options.context,
                                          .thread_count = options.thread_count}));
  TUNESMITH_ASSIGN_OR_RETURN(Loader loader, MakeLoader(std::move(data_set.documents),
                                                       inputs.workload, options.data, false, 0));
  TUNESMITH_ASSIGN_OR_RETURN(auto session,
                             Session::Create(std::move(program), device.context(), *weights, 0));
  if (adapter) TUNESMITH_RETURN_IF_ERROR(LoadAdapter(*adapter, *session));
  return Evaluation{.device = std::move(device),
                    .session = std::move(session),
                    .data = std::move(loader),
                    .row_count = inputs.mix.micro_batch};
}

absl::StatusOr<EvaluationResult> EvaluateModel(const EvaluateOptions& options) {
  TUNESMITH_ASSIGN_OR_RETURN(Evaluation evaluation, SetUpEvaluation(options));
  EvaluationResult result;
  for (;;) {
    TUNESMITH_ASSIGN_OR_RETURN(const Batch batch,
                               evaluation.data.NextBatchOfEpoch(evaluation.row_count));
    if (batch.row_count == 0) return result;
    TUNESMITH_RETURN_IF_ERROR(evaluation.session->Evaluate(batch, result));
  }
}

}  // namespace tunesmith::trainer
