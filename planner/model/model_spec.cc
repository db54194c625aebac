#include "planner/model/model_spec.h"

#include "common/text.h"
#include "planner/model/model_fields.h"

namespace tunesmith::planner {
namespace {

// Weights of one block: q and o are hidden x (heads x head size), k and v hidden x (kv heads x head
// size), three MLP matrices, two norms.
int64_t BlockParameterCount(const ModelSpec& spec) {
  const int64_t query_size = spec.head_count * spec.head_size;
  const int64_t kv_size = spec.kv_head_count * spec.head_size;
  const int64_t attention = 2 * spec.hidden_size * (query_size + kv_size);
  const int64_t biases = spec.qkv_bias ? query_size + 2 * kv_size : 0;
  const int64_t mlp = 3 * spec.hidden_size * spec.intermediate_size;
  return attention + biases + mlp + 2 * spec.hidden_size;
}

}  // namespace

absl::Status ValidateModelSpec(const ModelSpec& spec) {
  const std::vector<ModelProblem> problems = ModelProblems(spec, FieldNaming::kSpec);
  if (problems.empty()) return absl::OkStatus();
  std::vector<std::string> texts;
  for (const ModelProblem& problem : problems) texts.push_back(problem.text);
  return absl::InvalidArgumentError(StrCat("model '", spec.name, "': ", StrJoin(texts, "; ")));
}

int64_t ParameterCount(const ModelSpec& spec) {
  const int64_t table = spec.vocab_size * spec.hidden_size;
  const int64_t head = spec.tied_head ? 0 : table;
  return table + head + spec.layer_count * BlockParameterCount(spec) + spec.hidden_size;
}

}  // namespace tunesmith::planner
