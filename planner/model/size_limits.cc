#include "planner/model/size_limits.h"

#include <algorithm>

namespace tunesmith::planner {
namespace {

// A layer makes fewer than so many tensors of each width, in fp64 at most: with norms before and behind, and what adapters read of their own, two
// dozen.
constexpr double kTensorsPerWidth = 24;
constexpr double kElementBytes = 8;

double Real(int64_t value) { return static_cast<double>(value); }

}  // namespace

double MostActivationBytes(const ModelSpec& model, int64_t token_count) {
  const double heads = Real(model.head_count + 2 * model.kv_head_count) * Real(model.head_size);
  const double mlp = Real(model.intermediate_size) * Real(std::max<int64_t>(1, model.expert_count));
  const double layer = Real(model.hidden_size) + mlp + heads;
  const double layers = Real(model.layer_count + 1) * layer * kTensorsPerWidth;
  return Real(token_count) * (layers + 2 * Real(model.vocab_size)) * kElementBytes;
}

double MostScoreBytes(const ModelSpec& model, int64_t token_count, int64_t context) {
  const double scores = Real(token_count) * Real(context) * Real(model.head_count);
  return Real(model.layer_count + 1) * 2 * scores * kElementBytes;
}

}  // namespace tunesmith::planner
