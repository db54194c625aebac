// A model from nothing but its size. The shape is searched among those that look like the Llama
// family (hidden size over layers, MLP over hidden size, grouped queries), and the MLP's width is
// chosen so that the total meets the size.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>
#include <string>

#include "common/numbers.h"
#include "common/str_cat.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {
namespace {

constexpr int64_t kMillion = 1'000'000;
constexpr int64_t kSmallest = kMillion;
constexpr int64_t kLargest = 1'000'000 * kMillion;
constexpr double kTolerance = 0.02;
constexpr int64_t kLargestLayerCount = 160;
constexpr int64_t kHiddenStepCount = 96;

// What is assumed of models up to a size. Vocabularies, tying and head sizes follow SmolLM2 (49152,
// tied, 64), Llama 3.2 (128256, tied) and Llama 3 (128256, untied, 128); the smallest row is a toy.
// hidden_per_layer is hidden size / layer count of those models.
struct SizeClass {
  int64_t parameter_count_below;
  int64_t vocab_size;
  bool tied_head;
  int64_t head_size;
  int64_t head_multiple;  // so that heads divide over kv heads and devices
  double hidden_per_layer;
};
constexpr SizeClass kSizeClasses[] = {
    {50 * kMillion, 4096, true, 32, 4, 40},
    {1000 * kMillion, 49152, true, 64, 4, 40},
    {4000 * kMillion, 128256, true, 64, 8, 110},
    {kLargest + 1, 128256, false, 128, 8, 120},
};
constexpr int64_t kQueryHeadsPerKvHead = 4;
constexpr double kMlpPerHidden = 3.0;  // between 2.7 (Llama 2) and 3.5 (Llama 3)
constexpr int64_t kMlpMultiple = 32;
constexpr int64_t kContextLimit = 131072;
constexpr double kRopeTheta = 500000.0;

// Parameters that `size` names, or none if the text is not a size.
std::optional<double> ReadSize(std::string_view size) {
  if (size.size() < 2) return std::nullopt;
  const char unit = size.back();
  double scale = 0;
  if (unit == 'B' || unit == 'b') scale = 1000.0 * kMillion;
  if (unit == 'M' || unit == 'm') scale = kMillion;
  const std::string_view digits = size.substr(0, size.size() - 1);
  double number = 0;
  if (scale == 0 || digits.find_first_not_of("0123456789.") != std::string_view::npos ||
      !ParseDouble(digits, &number)) {
    return std::nullopt;
  }
  return number * scale;
}

const SizeClass& ClassOf(int64_t parameter_count) {
  return *std::find_if(std::begin(kSizeClasses), std::end(kSizeClasses), [&](const SizeClass& row) {
    return parameter_count < row.parameter_count_below;
  });
}

ModelSpec Shape(const SizeClass& assumed, int64_t layer_count, int64_t hidden_size) {
  const int64_t head_count = hidden_size / assumed.head_size;
  return ModelSpec{.name = "",
                   .family = "llama",
                   .layer_count = layer_count,
                   .hidden_size = hidden_size,
                   .head_count = head_count,
                   .kv_head_count = head_count / kQueryHeadsPerKvHead,
                   .head_size = assumed.head_size,
                   .vocab_size = assumed.vocab_size,
                   .context_limit = kContextLimit,
                   .norm_epsilon = 1e-5,
                   .rope_theta = kRopeTheta,
                   .tied_head = assumed.tied_head,
                   .source = ""};
}

// The MLP width that brings the total nearest to `parameter_count`; below 1 if the rest alone is
// too large.
int64_t FittingMlpSize(ModelSpec spec, int64_t parameter_count) {
  spec.intermediate_size = 0;
  const int64_t left = parameter_count - ParameterCount(spec);
  const double width =
      static_cast<double>(left) / static_cast<double>(3 * spec.layer_count * spec.hidden_size);
  return static_cast<int64_t>(std::llround(width / kMlpMultiple)) * kMlpMultiple;
}

// How far a shape is from what the family looks like, 0 at best: the two ratios on a log scale, and
// the error of the total.
double Distance(const ModelSpec& spec, const SizeClass& assumed, int64_t parameter_count) {
  const double hidden = static_cast<double>(spec.hidden_size);
  const double mlp_ratio = static_cast<double>(spec.intermediate_size) / hidden;
  const double layer_ratio = hidden / static_cast<double>(spec.layer_count);
  const double total =
      static_cast<double>(ParameterCount(spec)) / static_cast<double>(parameter_count);
  return std::abs(std::log(mlp_ratio / kMlpPerHidden)) +
         std::abs(std::log(layer_ratio / assumed.hidden_per_layer)) + 10 * std::abs(total - 1);
}

ModelSpec NearestShape(int64_t parameter_count) {
  const SizeClass& assumed = ClassOf(parameter_count);
  const int64_t hidden_step = assumed.head_size * assumed.head_multiple;
  ModelSpec best;
  double best_distance = std::numeric_limits<double>::infinity();
  for (int64_t step = 1; step <= kHiddenStepCount; ++step) {
    for (int64_t layer_count = 1; layer_count <= kLargestLayerCount; ++layer_count) {
      ModelSpec spec = Shape(assumed, layer_count, step * hidden_step);
      spec.intermediate_size = FittingMlpSize(spec, parameter_count);
      if (spec.intermediate_size < 1) break;  // more layers leave even less
      const double distance = Distance(spec, assumed, parameter_count);
      if (distance < best_distance) best = spec, best_distance = distance;
    }
  }
  return best;
}

std::string Assumption(const ModelSpec& spec, std::string_view size) {
  return StrCat(kAssumedFromSize, size, ": a Llama-style decoder of ", ParameterCount(spec),
                " parameters, ", spec.layer_count, " layers, hidden size ", spec.hidden_size,
                ", MLP ", spec.intermediate_size, ", ", spec.head_count, " heads over ",
                spec.kv_head_count, " kv heads, vocabulary ", spec.vocab_size,
                spec.tied_head ? " (tied)" : "", ", context up to ", spec.context_limit);
}

}  // namespace

absl::StatusOr<ModelSpec> ModelSpecFromParameterCount(std::string_view size) {
  const std::optional<double> wanted = ReadSize(size);
  if (!wanted) {
    return absl::InvalidArgumentError(
        StrCat("'", size, "' is not a model size; write it as 7B, 1.5B or 350M"));
  }
  if (*wanted < kSmallest || *wanted > kLargest) {
    return absl::InvalidArgumentError(StrCat("model size '", size, "' is outside 1M to 1000B"));
  }
  const int64_t parameter_count = std::llround(*wanted);
  ModelSpec spec = NearestShape(parameter_count);
  const double error = static_cast<double>(ParameterCount(spec)) / *wanted - 1;
  if (!(std::abs(error) <= kTolerance)) {
    return absl::InternalError(StrCat("no Llama-style shape within 2 % of ", size));
  }
  spec.name = size;
  spec.source = Assumption(spec, size);
  return spec;
}

}  // namespace tunesmith::planner
