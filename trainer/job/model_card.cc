#include "trainer/job/model_card.h"

#include <filesystem>

#include "absl/strings/str_format.h"
#include "common/str_cat.h"
#include "common/version.h"

namespace tunesmith::trainer {
namespace {

// A name that says nothing of the machine it was made on.
std::string NameOf(const std::string& path) {
  const std::filesystem::path trimmed =
      path.ends_with('/') ? path.substr(0, path.size() - 1) : path;
  return trimmed.filename().string();
}

std::string Row(std::string_view name, std::string_view value) {
  return StrCat("| ", name, " | ", value, " |\n");
}

std::string Loss(const std::optional<double>& loss) {
  return loss.has_value() ? absl::StrFormat("%.4f", *loss) : "not measured";
}

std::string DataRows(const ModelCard& card) {
  const Loader& data = card.data.training;
  std::string rows =
      Row("data set", StrCat(NameOf(card.spec.dataset_path()), ", ", data.document_count(),
                             " documents, ", data.token_count(), " tokens, ",
                             data.predicted_token_count(), " of them learned")) +
      Row("data digest", absl::StrFormat("%016x", card.data.digest));
  if (card.data.skipped_row_count > 0)
    rows += Row("rows skipped", StrCat(card.data.skipped_row_count));
  if (data.unlearned_document_count() > 0)
    rows += Row("documents with nothing to learn", StrCat(data.unlearned_document_count()));
  if (card.data.held_out_document_count > 0) rows += Row("held out", HeldOutText(card.data));
  if (data.cut_document_count() > 0)
    rows += Row("documents cut", StrCat(data.cut_document_count()));
  if (data.dropped_document_count() > 0)
    rows += Row("documents dropped", StrCat(data.dropped_document_count()));
  return rows;
}

}  // namespace

std::string FormatModelCard(const ModelCard& card) {
  const planner::Mix& mix = card.plan.prediction.mix;
  const bool is_adapter = mix.method != planner::Method::kFull;
  const v1::Training& training = card.spec.training();
  return StrCat(
      "---\nlibrary_name: ", is_adapter ? "peft" : "transformers",
      "\npipeline_tag: text-generation\ntags:\n- tunesmith\n", is_adapter ? "- lora\n" : "",
      "---\n\n# ", is_adapter ? "LoRA adapter for " : "", NameOf(card.spec.model_path()),
      is_adapter ? "" : ", fine-tuned", "\n\nMade by Tunesmith ", Version(),
      ".\n\n| | |\n|---|---|\n", Row("base model", NameOf(card.spec.model_path())),
      Row("plan", StrCat("`", planner::FormatMix(mix), "`")),
      Row("program digest", card.plan.prediction.program_digest),
      Row("context", StrCat(card.plan.question.workload.context, " tokens")), DataRows(card),
      Row("trained", StrCat(card.step_count, " steps, ", card.token_count, " tokens")),
      Row("learning rate", StrCat(training.learning_rate(), ", seed ", training.seed())),
      Row("last training loss", Loss(card.final_loss)),
      Row("held-out loss before", Loss(card.held_out_loss_before)),
      Row("held-out loss after", Loss(card.held_out_loss_after)));
}

}  // namespace tunesmith::trainer
