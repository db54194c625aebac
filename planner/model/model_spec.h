#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/model/layer_pattern.h"

// What the planner and the trainer need to know of a decoder-only transformer. Plain data; every size is a count of elements.
namespace tunesmith::planner {

enum class RopeScalingKind { kNone, kLinear, kLlama3, kDynamic, kYarn, kLongRope };

// Scaling of the rotary frequencies; the kinds are defined in Hugging Face's modeling_rope_utils.py, see trainer/ops/rope.h. kDynamic changes
// nothing within the context limit.
struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::kNone;
  double factor = 1.0;
  double low_frequency_factor = 1.0;      // kLlama3
  double high_frequency_factor = 4.0;     // kLlama3
  int64_t original_context_limit = 8192;  // kLlama3, kYarn, kLongRope
  double beta_fast = 32.0;                // kYarn
  double beta_slow = 1.0;                 // kYarn
  // kYarn, kLongRope: of cosines and sines; 0: 0.1 ln(factor) + 1, or sqrt(1 + ln(factor) / ln(original_context_limit))
  double attention_factor = 0.0;
  // kLongRope: what the frequency of each rotated pair is divided by, where rows are within the original context limit and where they are longer.
  std::vector<double> short_factors = {};
  std::vector<double> long_factors = {};

  bool operator==(const RopeScaling&) const = default;
};

enum class NormKind : uint8_t { kRms, kLayer };
enum class Activation : uint8_t { kSilu, kGelu, kGeluTanh, kQuickGelu, kRelu };
enum class Positions : uint8_t { kRotary, kLearned, kAlibi };

struct ModelSpec {
  std::string name;    // what the user called it: a catalog name, a directory, "7B"
  std::string family;  // Hugging Face's model_type: "llama", "gemma2", "falcon"
  int64_t layer_count = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;  // of one expert in a mixture of experts
  int64_t head_count = 0;
  int64_t kv_head_count = 0;
  int64_t head_size = 0;
  int64_t vocab_size = 0;
  int64_t context_limit = 0;  // max_position_embeddings
  double norm_epsilon = 1e-5;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling = {};
  bool tied_head = false;  // the output head is the token embedding
  bool qkv_bias = false;   // q, k and v projections have a bias (qwen2)
  // Keys that a query sees at most, itself among them, in every layer but `full_layers`; 0: all of its document. Below context_limit.
  int64_t sliding_window = 0;
  // Where the numbers come from, for the catalog; the assumption, for a synthesized model.
  std::string source;

  // Structure: zero is Llama's. What a family fixes is in planner/model/family.h.
  NormKind norm = NormKind::kRms;
  bool norm_bias = false;        // layer norms with a bias
  bool norm_adds_one = false;    // RMS norms multiply by 1 + weight (gemma)
  bool post_norms = false;       // norms also of what attention and MLP add (gemma2)
  bool parallel_blocks = false;  // x + attention(norm(x)) + mlp(norm(x)), not one after the other
  bool shared_norm = false;      // of parallel blocks: one norm for both
  bool qk_norm = false;          // an RMS norm of every head of q and k
  bool plain_mlp = false;        // down(act(up x)), not down(act(gate x) * up x)
  Activation activation = Activation::kSilu;
  Positions positions = Positions::kRotary;
  int64_t rotary_size = 0;        // leading elements of a head that are rotated, even; 0: all
  bool output_bias = false;       // attention's output projection has a bias
  bool mlp_bias = false;          // the MLP's projections have biases
  bool head_bias = false;         // the output head has a bias
  double attention_scale = 0;     // of the scores; 0: 1 / sqrt(head_size)
  double attention_soft_cap = 0;  // scores become cap * tanh(score / cap); 0: they stay
  double logit_soft_cap = 0;      // logits likewise
  double embedding_scale = 0;     // of the embedded tokens; 0: 1
  LayerPattern full_layers = {};  // that do not have the sliding window
  double local_rope_theta =
      0;  // base in layers that have the window, unscaled; 0: rope_theta there too
  LayerPattern unrotated_layers = {};  // that have no positions at all (smollm3)
  double alibi_bias_max =
      0;  // kAlibi: head h of 2^n heads has slope 2^(-alibi_bias_max * (h + 1) / 2^n)
  bool alibi_before_scale = false;  // kAlibi: the bias is scaled with the scores (falcon)

  // Mixture of experts: each token goes through `active_expert_count` of the MLPs; 0: one MLP.
  int64_t expert_count = 0;
  int64_t active_expert_count = 0;

  bool operator==(const ModelSpec&) const = default;
};

// From the text of a Hugging Face config.json. INVALID_ARGUMENT names every missing or contradictory field at once;
// UNIMPLEMENTED names a model_type that is not known (the message lists those that are).
absl::StatusOr<ModelSpec> ModelSpecFromConfigJson(std::string_view json, std::string_view name);

// From a size such as "7B", "1.5B" or "350M": a Llama-style model whose parameter count is within 2 % of the size. `source` says what
// was assumed. INVALID_ARGUMENT if the text is not a size or lies outside 1M to 1000B.
absl::StatusOr<ModelSpec> ModelSpecFromParameterCount(std::string_view size);
// How the source of such a model begins.
inline constexpr std::string_view kAssumedFromSize = "assumed from the size ";

// INVALID_ARGUMENT naming each field that is out of range or contradicts another ("head_count(9) % kv_head_count(2) != 0"). Everything
// downstream of the planner's entry points may assume a spec that passed.
absl::Status ValidateModelSpec(const ModelSpec& spec);

// Parameters, the tied head counted once.
int64_t ParameterCount(const ModelSpec& spec);

// Of these, those that one token goes through: all, but for the experts that it does not.
int64_t ActiveParameterCount(const ModelSpec& spec);

// A Hugging Face config.json that loads as this model. Inverse of ModelSpecFromConfigJson up to `name`, `source`.
std::string ConfigJsonFromModelSpec(const ModelSpec& spec);

// The longest row: context_limit or, where YaRN extends what the model was trained on beyond it, that: such files keep max_position_embeddings as it was (Qwen2.5's
// model cards). Files with linear scaling may name either limit, so theirs stands as it is.
int64_t ContextLimitOf(const ModelSpec& spec);

inline int64_t RotarySize(const ModelSpec& spec) {
  return spec.rotary_size > 0 ? spec.rotary_size : spec.head_size;
}
double AttentionScale(const ModelSpec& spec);

}  // namespace tunesmith::planner
