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
#include "trainer/job/job_setup.h"
#include "trainer/job/load_adapter.h"
#include "trainer/job/merge_adapter.h"
#include "trainer/model_io/adapter.h"

namespace tunesmith::trainer {
namespace {

// Rows that are evaluated at once hold about so many tokens: enough for matrix products to run at their rate.
constexpr int64_t kTokensAtOnce = 2048;

planner::ProgramInputs InputsOf(const EvaluateOptions& options, const planner::ModelSpec& model,
                                const OpContext& context,
                                const std::optional<planner::LoraSpec>& lora, BaseForm form) {
  planner::ProgramInputs in{.model = model, .backend = BackendOf(context), .trains = false};
  const bool quantizes = form == BaseForm::kNf4 || form == BaseForm::kNf4Double;
  in.mix.method = !lora       ? planner::Method::kFull
                  : quantizes ? planner::Method::kQlora
                              : planner::Method::kLora;
  in.mix.double_quantization = form == BaseForm::kNf4Double;
  if (lora) in.mix.lora = *lora;
  if (context.device == planner::BackendKind::kCuda) in.mix.precision = planner::Precision::kBf16;
  in.mix.attention = planner::AttentionKernel::kFlash;
  in.mix.recompute[0] = model.layer_count;
  in.mix.micro_batch = std::max<int64_t>(1, kTokensAtOnce / options.context);
  in.workload = {
      .context = options.context, .rows_per_step = in.mix.micro_batch, .generates = false};
  return in;
}

BaseForm FormOf(const EvaluateOptions& options, const std::optional<Adapter>& adapter) {
  if (options.base_form) return *options.base_form;
  const bool says = adapter && adapter->base_form != BaseForm::kUnknown;
  return says ? adapter->base_form : BaseForm::kWide;
}

}  // namespace

absl::StatusOr<Evaluation> SetUpEvaluation(const EvaluateOptions& options) {
  if (options.context < 2)
    return absl::InvalidArgumentError(
        StrCat("context: ", options.context, " tokens, must be at least 2"));
  TUNESMITH_ASSIGN_OR_RETURN(auto weights, OpenModel(options.model_path));
  TUNESMITH_ASSIGN_OR_RETURN(const RowTokenizer rows,
                             OpenRowTokenizer(options.model_path, options.data.chat_template_path,
                                              absl::ToUnixSeconds(absl::Now())));
  std::optional<Adapter> adapter;
  std::optional<planner::LoraSpec> lora;
  if (!options.adapter_path.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(adapter, ReadAdapter(options.adapter_path));
    adapter->any_base = options.any_base;
    TUNESMITH_ASSIGN_OR_RETURN(lora, LoraOf(*adapter, *weights));
  }
  const BaseForm form = FormOf(options, adapter);
  if (!adapter) {
    TUNESMITH_ASSIGN_OR_RETURN(weights, MergeAdapter(std::move(weights), form, std::nullopt));
  }
  TUNESMITH_ASSIGN_OR_RETURN(OpenDevice device,
                             OpenDevice::Open(options.device, options.thread_count));
  const planner::ProgramInputs inputs =
      InputsOf(options, weights->spec(), device.context(), lora, form);
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
                    .row_count = inputs.mix.micro_batch,
                    .base_form = form};
}

absl::StatusOr<EvaluationResult> EvaluateModel(const EvaluateOptions& options) {
  TUNESMITH_ASSIGN_OR_RETURN(Evaluation evaluation, SetUpEvaluation(options));
  return Evaluate(evaluation);
}

absl::StatusOr<EvaluationResult> Evaluate(Evaluation& evaluation) {
  EvaluationResult result;
  for (;;) {
    TUNESMITH_ASSIGN_OR_RETURN(const Batch batch,
                               evaluation.data.NextBatchOfEpoch(evaluation.row_count));
    if (batch.row_count == 0) return result;
    TUNESMITH_RETURN_IF_ERROR(evaluation.session->Evaluate(batch, result));
  }
}

}  // namespace tunesmith::trainer
