#include "client/question_flags.h"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "client/dataset_survey.h"
#include "client/positive.h"
#include "common/file.h"
#include "common/gguf.h"
#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "common/units.h"
#include "planner/model/gguf_model_spec.h"
#include "planner/model/model_spec.h"
#include "planner/price/row_statistics.h"
#include "proto/convert/data_directory.h"
#include "proto/convert/model.h"
#include "proto/convert/prediction.h"

namespace tunesmith::client {
namespace {

constexpr int64_t kTokensPerDocument = 64;
constexpr int64_t kMaxDocumentsPerRow = 64;

const std::map<std::string, v1::Method>& Methods() {
  static const auto* const methods =
      new std::map<std::string, v1::Method>{{"any", v1::METHOD_UNSPECIFIED},
                                            {"full", v1::METHOD_FULL},
                                            {"lora", v1::METHOD_LORA},
                                            {"qlora", v1::METHOD_QLORA}};
  return *methods;
}

const std::map<std::string, v1::Objective>& Objectives() {
  static const auto* const objectives =
      new std::map<std::string, v1::Objective>{{"time", v1::OBJECTIVE_TIME},
                                               {"memory", v1::OBJECTIVE_MEMORY},
                                               {"balanced", v1::OBJECTIVE_BALANCED}};
  return *objectives;
}

const std::map<std::string, v1::Precision>& Precisions() {
  static const auto* const precisions = new std::map<std::string, v1::Precision>{
      {"", v1::PRECISION_UNSPECIFIED}, {"fp32", v1::PRECISION_FP32}, {"bf16", v1::PRECISION_BF16}};
  return *precisions;
}

const std::map<std::string, v1::Optimizer>& Optimizers() {
  static const auto* const optimizers = new std::map<std::string, v1::Optimizer>{
      {"adamw", v1::OPTIMIZER_ADAMW}, {"sgd", v1::OPTIMIZER_SGD}};
  return *optimizers;
}

const std::map<std::string, v1::OptimizerState>& OptimizerStates() {
  static const auto* const states =
      new std::map<std::string, v1::OptimizerState>{{"fp32", v1::OPTIMIZER_STATE_FP32},
                                                    {"bf16", v1::OPTIMIZER_STATE_BF16},
                                                    {"int8", v1::OPTIMIZER_STATE_INT8}};
  return *states;
}

const std::map<std::string, v1::AccumulationDtype>& AccumulationDtypes() {
  static const auto* const dtypes = new std::map<std::string, v1::AccumulationDtype>{
      {"fp32", v1::ACCUMULATION_DTYPE_FP32}, {"bf16", v1::ACCUMULATION_DTYPE_BF16}};
  return *dtypes;
}

// Factors of units, in lower case and without a closing "b" or "ib".
int64_t UnitFactor(std::string_view letter, bool decimal) {
  static constexpr std::string_view kLetters = "kmgt";
  const size_t power = kLetters.find(letter) + 1;
  int64_t factor = 1;
  for (size_t i = 0; i < power; ++i) factor *= decimal ? 1000 : 1024;
  return factor;
}

absl::StatusOr<planner::ModelSpec> SpecFromDirectory(const std::string& directory) {
  const std::string path = directory + "/config.json";
  TUNESMITH_ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  auto spec = planner::ModelSpecFromConfigJson(json, directory);
  if (spec.ok()) return spec;
  return absl::Status(spec.status().code(), StrCat(path, ": ", spec.status().message()));
}

absl::StatusOr<planner::ModelSpec> SpecFromGgufFile(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  return planner::ModelSpecFromGguf(file, path);
}

bool IsPath(const std::string& model) {
  std::error_code error;
  return std::filesystem::is_directory(model, error) || model.ends_with(".gguf") ||
         model.starts_with('/') || model.starts_with('.');
}

// A path is resolved here, where the file is; a name by whoever answers.
absl::Status SetModel(const std::string& model, v1::Question& question) {
  if (IsPath(model)) {
    TUNESMITH_ASSIGN_OR_RETURN(*question.mutable_model_spec(), ModelSpecOfFiles(model));
  } else {
    question.set_model_name(model);
  }
  return absl::OkStatus();
}

std::string Percent(double share) { return absl::StrFormat("%.1f %%", 100 * share); }

// A file in which no row is found counts by its size: whether it is a data set is for the trainer to say.
absl::Status SetSizeOfFile(const QuestionFlags& flags, AskedQuestion& asked) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(flags.dataset, error);
  if (error) return absl::NotFoundError(StrCat("--dataset ", flags.dataset, ": ", error.message()));
  const int64_t tokens = CeilDivide(static_cast<int64_t>(bytes), kBytesPerToken);
  asked.question.mutable_workload()->set_dataset_token_count(tokens);
  asked.notes.push_back(
      StrCat("the data set's token count is estimated as bytes / ", kBytesPerToken, " = ", tokens));
  return absl::OkStatus();
}

void NoteSurvey(const DatasetSurvey& survey, AskedQuestion& asked) {
  std::string note =
      StrCat("the data set is taken to have ", survey.document_count, " documents with ",
             survey.token_count, " tokens, ",
             Percent(static_cast<double>(survey.predicted_token_count) /
                     static_cast<double>(survey.token_count)),
             " of them to be learned: lengths are estimated as bytes / ", kBytesPerToken);
  if (survey.read_share < 1) note += StrCat(", from ", Percent(survey.read_share), " of the file");
  asked.notes.push_back(std::move(note));
}

void SetHistogram(const planner::LengthHistogram& histogram, v1::Workload& workload) {
  planner::Workload lengths;
  lengths.length_histogram = histogram;
  *workload.mutable_length_histogram() = convert::ToProto(lengths).length_histogram();
}

// The fewest tokens per row, in steps of a 32nd of the context, that hold the longest completion with a margin of a quarter for what the tokenizer
// makes of it, and with which packing fills rows nearly as well as without a capacity. 0: no capacity below the context does.
int64_t CapacityFor(const DatasetSurvey& survey, const v1::Workload& workload) {
  planner::Workload w = {.context = workload.context(),
                         .document_capacity = workload.document_capacity(),
                         .length_histogram = survey.histogram};
  constexpr double kMargin = 1.25, kFilledShare = 0.99;
  const double filled = planner::ExpectedRows(w, 1).filled_share;
  const int64_t step = std::max<int64_t>(1, w.context / 32);
  const int64_t longest = std::llround(kMargin * static_cast<double>(survey.longest_predicted));
  for (int64_t capacity = AlignUp(longest, step); capacity < w.context; capacity += step) {
    w.loss_token_capacity = capacity;
    if (planner::ExpectedRows(w, 1).filled_share >= kFilledShare * filled) return capacity;
  }
  return 0;
}

absl::Status SetLossCapacity(const QuestionFlags& flags, const std::optional<DatasetSurvey>& survey,
                             AskedQuestion& asked) {
  v1::Workload& workload = *asked.question.mutable_workload();
  workload.set_loss_token_capacity(flags.loss_tokens_per_row);
  if (flags.loss == "all" || flags.loss_tokens_per_row > 0) return absl::OkStatus();
  if (!survey) {
    return absl::InvalidArgumentError(
        "--loss completion needs the lengths of completions; name a JSONL file of prompts and "
        "completions by --dataset, or give --loss-tokens-per-row");
  }
  const int64_t capacity = CapacityFor(*survey, workload);
  workload.set_loss_token_capacity(capacity);
  asked.notes.push_back(
      capacity > 0 ? StrCat("the output head is computed for ", capacity, " of the ",
                            workload.context(), " tokens of a row, which hold its completions")
                   : "the output head is computed for every token: completions may take a row up");
  return absl::OkStatus();
}

absl::Status SetDataset(const QuestionFlags& flags, AskedQuestion& asked) {
  v1::Workload& workload = *asked.question.mutable_workload();
  std::optional<DatasetSurvey> survey;
  if (!flags.dataset.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(survey, SurveyDataset(flags.dataset));
    if (survey->histogram.empty()) survey.reset();
    if (!survey) TUNESMITH_RETURN_IF_ERROR(SetSizeOfFile(flags, asked));
  }
  if (survey) {
    NoteSurvey(*survey, asked);
    workload.set_dataset_token_count(survey->token_count);
    SetHistogram(survey->histogram, workload);
  }
  if (flags.dataset_tokens > 0) workload.set_dataset_token_count(flags.dataset_tokens);
  return SetLossCapacity(flags, survey, asked);
}

int64_t DocumentCapacity(const QuestionFlags& flags) {
  if (flags.documents_per_row > 0) return flags.documents_per_row;
  return std::clamp<int64_t>(flags.context / kTokensPerDocument, 1, kMaxDocumentsPerRow);
}

std::vector<std::string> Keys(const auto& map) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : map) {
    if (!key.empty()) keys.push_back(key);
  }
  return keys;
}

// One method of the planner, or a list of methods for another runtime.
CLI::Validator MethodList() {
  const std::vector<std::string> known = Keys(Methods());
  return CLI::Validator(
      [known](std::string& text) -> std::string {
        for (const std::string_view part : StrSplit(text, ",")) {
          if (std::find(known.begin(), known.end(), part) == known.end())
            return StrCat(part, " is not one of ", StrJoin(known, ", "));
        }
        return "";
      },
      StrCat("{", StrJoin(known, ","), "}"));
}

// A list leaves the choice open; which methods it names is read by SetRuntime.
v1::Method MethodOf(const std::string& text) {
  const auto found = Methods().find(text);
  return found == Methods().end() ? v1::METHOD_UNSPECIFIED : found->second;
}

}  // namespace

absl::StatusOr<v1::ModelSpec> ModelSpecOfFiles(const std::string& path) {
  std::error_code error;
  const bool directory = std::filesystem::is_directory(path, error);
  if (!directory && !path.ends_with(".gguf"))
    return absl::NotFoundError(
        StrCat("--model ", path, ": there is no such directory or .gguf file"));
  TUNESMITH_ASSIGN_OR_RETURN(const planner::ModelSpec spec,
                             directory ? SpecFromDirectory(path) : SpecFromGgufFile(path));
  return convert::ToProto(spec);
}

absl::StatusOr<int64_t> ParseBytes(const std::string& text) {
  const std::string lower = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text));
  const size_t digits = std::min(lower.find_first_not_of("0123456789."), lower.size());
  std::string unit(absl::StripAsciiWhitespace(lower.substr(digits)));
  const bool binary = unit.ends_with("ib");
  const bool decimal = !binary && unit.size() == 2 && unit.ends_with('b');
  if (binary) unit.resize(unit.size() - 2);
  if (decimal || unit == "b") unit.resize(unit.size() - 1);
  double value = 0;
  const bool unit_is_known =
      unit.empty() ||
      (unit.size() == 1 && std::string_view("kmgt").find(unit) != std::string_view::npos);
  if (!unit_is_known || !ParseDouble(lower.substr(0, digits), &value)) {
    return absl::InvalidArgumentError(
        StrCat("\"", text, "\" is not an amount of memory such as 20GiB"));
  }
  const double bytes =
      value * (unit.empty() ? 1.0 : static_cast<double>(UnitFactor(unit, decimal)));
  if (!(bytes >= 1 && bytes < 9e18))
    return absl::InvalidArgumentError(StrCat("\"", text, "\" is out of range"));
  return static_cast<int64_t>(std::llround(bytes));
}

void AddQuestionFlags(CLI::App& app, QuestionFlags& flags) {
  app.add_option("--model", flags.model,
                 "A name (tunesmith models), a size such as 7B, a model directory or a .gguf file");
  app.add_option("--context", flags.context, "Tokens per row")->check(Positive());
  app.add_option("--gpus", flags.gpus,
                 "Devices, such as 8xA100-80GB, 2x8xH100 (2 nodes of 8) or cpu (tunesmith gpus)")
      ->capture_default_str();
  app.add_option("--network", flags.network_gigabits_per_second,
                 "Between nodes: what one node's network carries, in Gb/s; 400 is assumed")
      ->check(CLI::PositiveNumber);
  app.add_option("--method", flags.method,
                 "What is trained; for other runtimes also a list such as full,lora,qlora")
      ->check(MethodList())
      ->capture_default_str();
  app.add_option("--precision", flags.precision, "Data type of the computation")
      ->check(CLI::IsMember(Keys(Precisions())));
  app.add_option("--optimizer", flags.optimizer, "How gradients change weights")
      ->check(CLI::IsMember(Keys(Optimizers())))
      ->capture_default_str();
  app.add_option("--optimizer-state", flags.optimizer_state, "Data type of the optimizer's states")
      ->check(CLI::IsMember(Keys(OptimizerStates())))
      ->capture_default_str();
  app.add_option("--accumulation", flags.accumulation, "Data type of summed gradients")
      ->check(CLI::IsMember(Keys(AccumulationDtypes())))
      ->capture_default_str();
  app.add_flag("--single-quantization", flags.single_quantization,
               "QLoRA: keep the magnitudes of 4-bit blocks in fp32");
  app.add_option("--lora-rank", flags.lora_rank, "Rank of the adapter")
      ->check(Positive())
      ->capture_default_str();
  app.add_option("--lora-alpha", flags.lora_alpha,
                 "Its output is scaled by alpha / rank; twice the rank by default")
      ->check(Positive());
  app.add_option("--lora-dropout", flags.lora_dropout,
                 "Share of the adapter's inputs that training drops, below 1")
      ->check(CLI::Range(0.0, 0.999))
      ->capture_default_str();
  app.add_flag("--lora-rank-stabilized", flags.lora_rank_stabilized,
               "Scale the adapter's output by alpha / sqrt(rank)");
  app.add_option("--objective", flags.objective, "What to minimize")
      ->check(CLI::IsMember(Keys(Objectives())))
      ->capture_default_str();
  app.add_option("--batch", flags.batch, "Rows per optimizer step, over all devices")
      ->check(Positive())
      ->capture_default_str();
  app.add_option(
      "--dataset", flags.dataset,
      "JSONL file to train on; the lengths of its documents are estimated from their bytes");
  app.add_option("--dataset-tokens", flags.dataset_tokens, "Tokens of one pass over the data set")
      ->check(Positive());
  app.add_option("--epochs", flags.epochs, "Passes over the data set")
      ->check(Positive())
      ->capture_default_str();
  app.add_option("--documents-per-row", flags.documents_per_row,
                 "Most documents packed into a row; one per 64 tokens of context by default")
      ->check(Positive());
  app.add_option("--loss", flags.loss,
                 "Tokens that the output head is computed for: all, or as many per row as the data "
                 "set's completions need")
      ->check(CLI::IsMember({"all", "completion"}))
      ->capture_default_str();
  app.add_option("--loss-tokens-per-row", flags.loss_tokens_per_row,
                 "Most tokens of a row that are learned, instead of what --loss finds")
      ->check(Positive());
  app.add_flag("--generate", flags.generates,
               "Plan for answers to prompts too, as launch --sample-prompt asks for them: the keys "
               "and values of a whole context");
  app.add_option("--memory-budget", flags.memory_budget,
                 "Memory allowed per device, such as 20GiB; all of it by default");
  app.add_option("--host-memory", flags.host_memory,
                 "Memory of the host allowed per GPU, such as 64GiB; not limited by default");
  app.add_option("--pinned-memory", flags.pinned_memory,
                 "Page-locked memory of the host allowed per GPU; not limited by default");
  app.add_option("--calibration", flags.calibration, "Calibration file to price with");
  AddPinnedFlags(app, flags.pinned);
}

absl::StatusOr<AskedQuestion> QuestionFromFlags(const QuestionFlags& flags) {
  if (flags.model.empty())
    return absl::InvalidArgumentError(
        "--model is missing; name a model, a size, a directory or a .gguf file");
  if (flags.context <= 0)
    return absl::InvalidArgumentError("--context is missing; give the tokens per row");
  AskedQuestion asked;
  v1::Question& question = asked.question;
  TUNESMITH_RETURN_IF_ERROR(SetModel(flags.model, question));
  question.set_device_name(flags.gpus);
  question.set_network_bytes_per_second(flags.network_gigabits_per_second * 1e9 / 8);
  v1::Workload& workload = *question.mutable_workload();
  workload.set_context(flags.context);
  workload.set_rows_per_step(flags.batch);
  workload.set_document_capacity(DocumentCapacity(flags));
  workload.set_epoch_count(flags.epochs);
  workload.set_evaluates(true);
  workload.set_generates(flags.generates);
  TUNESMITH_RETURN_IF_ERROR(SetDataset(flags, asked));
  question.set_single_quantization(flags.single_quantization);
  question.set_method(MethodOf(flags.method));
  question.mutable_lora()->set_rank(flags.lora_rank);
  question.mutable_lora()->set_alpha(
      flags.lora_alpha > 0 ? flags.lora_alpha : 2 * static_cast<double>(flags.lora_rank));
  question.mutable_lora()->set_dropout(flags.lora_dropout);
  question.mutable_lora()->set_rank_stabilized(flags.lora_rank_stabilized);
  question.set_precision(Precisions().at(flags.precision));
  question.set_optimizer(Optimizers().at(flags.optimizer));
  question.set_optimizer_state(OptimizerStates().at(flags.optimizer_state));
  question.set_accumulation_dtype(AccumulationDtypes().at(flags.accumulation));
  question.set_objective(Objectives().at(flags.objective));
  TUNESMITH_RETURN_IF_ERROR(SetPinned(flags.pinned, question));
  const std::pair<const std::string&, void (v1::Question::*)(int64_t)> budgets[] = {
      {flags.memory_budget, &v1::Question::set_memory_budget_bytes},
      {flags.host_memory, &v1::Question::set_host_memory_budget_bytes},
      {flags.pinned_memory, &v1::Question::set_pinned_memory_budget_bytes}};
  for (const auto& [text, set] : budgets) {
    if (text.empty()) continue;
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes(text));
    (question.*set)(bytes);
  }
  if (!flags.calibration.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(const planner::Calibration calibration,
                               convert::ReadCalibrationFile(flags.calibration));
    *question.mutable_calibration() = convert::ToProto(calibration);
  }
  return asked;
}

}  // namespace tunesmith::client
