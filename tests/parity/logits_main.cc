// Writes the trainer's logits of every document of a data set, for comparison with others.
//
//   logits MODEL ADAPTER|- DATASET CONTEXT OUTPUT
//
// OUTPUT: float32 (token, vocabulary), little-endian, document after document. Standard output: a JSON array of token ids per document.
#include <fstream>
#include <iostream>
#include <string>

#include "common/json.h"
#include "common/numbers.h"
#include "common/status_macros.h"
#include "tests/trainer/logits_recorder.h"
#include "trainer/job/evaluate.h"

namespace tunesmith::trainer {
namespace {

// Documents of a batch lie one after the other; a padded token is a document of its own, of one token.
void WriteBatch(const Batch& batch, const LogitsRecorder& logits, std::ofstream& file) {
  const auto size = static_cast<int64_t>(batch.tokens.size());
  for (int64_t begin = 0; begin < size;) {
    const auto start = batch.document_starts[static_cast<size_t>(begin)];
    int64_t end = begin + 1;
    while (end % batch.context != 0 && batch.document_starts[static_cast<size_t>(end)] == start)
      ++end;
    if (end - begin > 1) {
      std::cout << nlohmann::json(std::vector<int32_t>(batch.tokens.begin() + begin,
                                                       batch.tokens.begin() + end))
                       .dump()
                << "\n";
      file.write(reinterpret_cast<const char*>(logits.of_token(begin)),
                 (end - begin) * logits.vocab_size() * 4);
    }
    begin = end;
  }
}

absl::Status WriteLogits(const EvaluateOptions& options, const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(Evaluation evaluation, SetUpEvaluation(options));
  std::ofstream file(path, std::ios::binary);
  LogitsRecorder logits;
  evaluation.session->executor().set_observer(&logits);
  for (;;) {
    TUNESMITH_ASSIGN_OR_RETURN(const Batch batch,
                               evaluation.data.NextBatchOfEpoch(evaluation.row_count));
    if (batch.row_count == 0) break;
    logits.Clear();
    EvaluationResult result;
    TUNESMITH_RETURN_IF_ERROR(evaluation.session->Evaluate(batch, result));
    WriteBatch(batch, logits, file);
  }
  file.close();
  return file ? absl::OkStatus() : absl::UnavailableError("cannot write " + path);
}

int Main(int argc, char** argv) {
  EvaluateOptions options;
  if (argc != 6 || !ParseInt64(argv[4], &options.context)) {
    std::cerr << "usage: logits MODEL ADAPTER|- DATASET CONTEXT OUTPUT\n";
    return 2;
  }
  options.model_path = argv[1];
  if (argv[2] != std::string("-")) options.adapter_path = argv[2];
  options.dataset_path = argv[3];
  const absl::Status status = WriteLogits(options, argv[5]);
  if (!status.ok()) std::cerr << "logits: " << status << "\n";
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace tunesmith::trainer

int main(int argc, char** argv) { return tunesmith::trainer::Main(argc, argv); }
