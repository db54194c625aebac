// Trains a small model as the trainer does, and writes what it computed, for comparison with others.
//
//   family MODEL ADAPTER|- BATCHES MIX OUTPUT
//
// BATCHES: JSON {"tokens": [step][row][token], "labels": the same shape, -1 where nothing is predicted, "learning_rate", "weight_decay"}; every row is
// one document. OUTPUT, a directory: logits.safetensors (of the first step's rows, before it), gradients.safetensors (of the first step),
// losses.json (of every step), and the result of training in adapter/ or model/. Tensors have the names, shapes and order of checkpoints.
#include <iostream>
#include <map>
#include <string>

#include "common/file.h"
#include "common/float_conversion.h"
#include "common/json.h"
#include "common/safetensors.h"
#include "common/status_macros.h"
#include "planner/program/build_program.h"
#include "tests/trainer/checkpoint_gradients.h"
#include "tests/trainer/logits_recorder.h"
#include "trainer/job/load_adapter.h"
#include "trainer/job/save_result.h"
#include "trainer/job/session.h"
#include "trainer/model_io/adapter.h"
#include "trainer/model_io/base_checksum.h"
#include "trainer/open_device.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

using Tensors = std::map<std::string, NamedValues>;

Batch BatchOf(const json& tokens, const json& labels) {
  Batch batch;
  batch.row_count = static_cast<int64_t>(tokens.size());
  batch.context = static_cast<int64_t>(tokens[0].size());
  for (size_t row = 0; row < tokens.size(); ++row) {
    for (size_t t = 0; t < tokens[row].size(); ++t) {
      batch.tokens.push_back(tokens[row][t]);
      batch.labels.push_back(labels[row][t]);
      batch.positions.push_back(static_cast<int32_t>(t));
      batch.document_starts.push_back(0);
      batch.valid_label_count += batch.labels.back() >= 0;
    }
  }
  batch.token_count = static_cast<int64_t>(batch.tokens.size());
  return batch;
}

absl::Status WriteTensors(const std::string& path, const Tensors& tensors) {
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const auto& [name, tensor] : tensors)
    declarations.push_back({name, DType::kF32, tensor.shape});
  TUNESMITH_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                             SafetensorsWriter::Create(path, std::move(declarations)));
  std::string bytes;
  for (const SafetensorsWriter::Declaration& tensor : writer.order()) {
    TUNESMITH_RETURN_IF_ERROR(BytesFromFloats(DType::kF32, tensors.at(tensor.name).values, &bytes));
    TUNESMITH_RETURN_IF_ERROR(writer.Write(tensor.name, bytes));
  }
  return writer.Commit();
}

struct Arguments {
  std::string model, adapter, batches, mix, output;
};

absl::StatusOr<planner::ProgramInputs> InputsOf(const planner::ModelSpec& model,
                                                const Arguments& arguments, const Batch& batch) {
  TUNESMITH_ASSIGN_OR_RETURN(planner::Mix mix, planner::ParseMix(arguments.mix));
  if (mix.recompute == decltype(mix.recompute){}) mix.recompute[0] = model.layer_count;
  mix.micro_batch = batch.row_count;
  return planner::ProgramInputs{
      .model = model,
      .workload = {.context = batch.context, .rows_per_step = batch.row_count, .generates = false},
      .mix = mix};
}

absl::StatusOr<Tensors> LogitsOf(Session& session, const Batch& batch) {
  LogitsRecorder recorder;
  session.executor().set_observer(&recorder);
  EvaluationResult result;
  TUNESMITH_RETURN_IF_ERROR(session.Evaluate(batch, result));
  session.executor().set_observer(nullptr);
  const float* first = recorder.of_token(0);
  Tensors logits;
  logits["logits"] = {.shape = {batch.row_count, batch.context, recorder.vocab_size()},
                      .values = {first, first + recorder.token_count() * recorder.vocab_size()}};
  return logits;
}

absl::Status Run(const Arguments& arguments) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(arguments.batches));
  TUNESMITH_ASSIGN_OR_RETURN(const json data, ParseJson(text, arguments.batches));
  TUNESMITH_ASSIGN_OR_RETURN(const auto weights, OpenModel(arguments.model));
  TUNESMITH_ASSIGN_OR_RETURN(OpenDevice device, OpenDevice::Open("cpu", 2));
  const Batch first = BatchOf(data["tokens"][0], data["labels"][0]);
  TUNESMITH_ASSIGN_OR_RETURN(const planner::ProgramInputs inputs,
                             InputsOf(weights->spec(), arguments, first));
  TUNESMITH_ASSIGN_OR_RETURN(planner::Program program, planner::BuildProgram(inputs));
  TUNESMITH_ASSIGN_OR_RETURN(auto session,
                             Session::Create(std::move(program), device.context(), *weights, 0));
  if (arguments.adapter != "-") {
    TUNESMITH_ASSIGN_OR_RETURN(const Adapter adapter, ReadAdapter(arguments.adapter));
    TUNESMITH_RETURN_IF_ERROR(LoadAdapter(adapter, *session));
  }
  TUNESMITH_ASSIGN_OR_RETURN(const Tensors logits, LogitsOf(*session, first));
  TUNESMITH_RETURN_IF_ERROR(WriteTensors(arguments.output + "/logits.safetensors", logits));
  std::vector<double> losses;
  for (size_t step = 0; step < data["tokens"].size(); ++step) {
    const Batch batch = BatchOf(data["tokens"][step], data["labels"][step]);
    TUNESMITH_ASSIGN_OR_RETURN(
        const StepResult result,
        session->Step({&batch, 1}, {.learning_rate = data["learning_rate"],
                                    .weight_decay = data["weight_decay"],
                                    .optimizer_step = static_cast<int64_t>(step) + 1}));
    losses.push_back(result.mean_loss);
    if (step > 0) continue;
    TUNESMITH_ASSIGN_OR_RETURN(const Tensors gradients, CheckpointGradients(*session));
    TUNESMITH_RETURN_IF_ERROR(WriteTensors(arguments.output + "/gradients.safetensors", gradients));
  }
  TUNESMITH_RETURN_IF_ERROR(
      WriteFileAtomically(arguments.output + "/losses.json", json(losses).dump()));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string checksum, BaseChecksum(*weights));
  const bool adapts = inputs.mix.method != planner::Method::kFull;
  return SaveResult(*session, checksum, arguments.model,
                    arguments.output + (adapts ? "/adapter" : "/model"));
}

int Main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: family MODEL ADAPTER|- BATCHES MIX OUTPUT\n";
    return 2;
  }
  const absl::Status status = Run({argv[1], argv[2], argv[3], argv[4], argv[5]});
  if (!status.ok()) std::cerr << "family: " << status << "\n";
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace tunesmith::trainer

int main(int argc, char** argv) { return tunesmith::trainer::Main(argc, argv); }
