#include "planner/model/size_limits.h"

namespace tunesmith::planner {
namespace {

// A layer makes fewer than so many tensors of each width (tests/planner/size_limits_test.cc compares with whole programs), in fp64 at most.
constexpr double kTensorsPerWidth = 8;
constexpr double kElementBytes = 8;

double Real(int64_t value) { return static_cast<double>(value); }

}  // namespace

double MostActivationBytes(const ModelSpec& model, int64_t token_count) {
  const double heads = Real(model.head_count + 2 * model.kv_head_count) * Real(model.head_size);
  const double layer = Real(model.hidden_size) + Real(model.intermediate_size) + heads;
  const double layers = Real(model.layer_count + 1) * layer * kTensorsPerWidth;
  return Real(token_count) * (layers + 2 * Real(model.vocab_size)) * kElementBytes;
}

double MostScoreBytes(const ModelSpec& model, int64_t token_count, int64_t context) {
  const double scores = Real(token_count) * Real(context) * Real(model.head_count);
  return Real(model.layer_count + 1) * 2 * scores * kElementBytes;
}

}  // namespace tunesmith::planner
