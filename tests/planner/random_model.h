#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "planner/model/config_window.h"
#include "planner/model/family.h"
#include "planner/model/model_spec.h"

namespace tunesmith::planner {

// Valid models of small random sizes: any family whose config.json is read, any of what it leaves open. For property tests.
class RandomModelMaker {
 public:
  explicit RandomModelMaker(std::mt19937_64& random) : random_(random) {}

  ModelSpec Make() {
    const char* const families[] = {
        "llama",  "mistral",     "qwen2",  "qwen3",    "smollm3", "phi", "phi3",    "gemma",
        "gemma2", "gemma3_text", "falcon", "gpt_neox", "gpt2",    "mpt", "mixtral", "qwen3_moe"};
    spec_.name = "random";
    spec_.family = families[Pick(0, 15)];
    PickSizes();
    PickRope();
    PickStructure();
    SetFamilyStructure(&spec_);
    PickWindow();
    return spec_;
  }

 private:
  int64_t Pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  bool Coin() { return Pick(0, 1) == 1; }
  double Real(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random_);
  }
  bool Is(std::string_view family) const { return spec_.family == family; }
  std::vector<bool> Layers() {
    std::vector<bool> layers(static_cast<size_t>(spec_.layer_count));
    for (size_t i = 0; i < layers.size(); ++i) layers[i] = Coin();
    return layers;
  }

  void PickSizes() {
    spec_.layer_count = Pick(1, 40);
    spec_.kv_head_count = Pick(1, 4);
    spec_.head_count = spec_.kv_head_count * Pick(1, 4);
    spec_.head_size = 2 * Pick(1, 64);
    spec_.hidden_size = Pick(1, 1024);
    spec_.intermediate_size = Pick(1, 4096);
    spec_.vocab_size = Pick(1, 65536);
    spec_.context_limit = Pick(1, 65536);
    spec_.norm_epsilon = Real(1e-8, 1e-2);
    spec_.tied_head = Coin();
    const bool derived = Is("falcon") || Is("gpt_neox") || Is("gpt2") || Is("mpt") || Is("phi");
    if (derived) spec_.hidden_size = spec_.head_count * spec_.head_size;
    if (Is("mpt")) spec_.intermediate_size = spec_.hidden_size * Pick(1, 4);
    if (Is("gpt_neox") || Is("gpt2") || Is("mpt")) spec_.kv_head_count = spec_.head_count;
    if (Is("mixtral") || Is("qwen3_moe")) {
      spec_.expert_count = Pick(1, 16);
      spec_.active_expert_count = Pick(1, spec_.expert_count);
    }
  }

  void PickRope() {
    if (Is("gpt2") || Is("mpt")) return;
    spec_.rope_theta = Real(1, 1e7);
    RopeScaling& scaling = spec_.rope_scaling;
    scaling.kind = static_cast<RopeScalingKind>(Pick(0, 5));
    if (scaling.kind == RopeScalingKind::kNone) return;
    scaling.factor = Real(1, 64);
    if (scaling.kind == RopeScalingKind::kLlama3) {
      scaling.low_frequency_factor = Real(0.5, 2);
      scaling.high_frequency_factor = Real(3, 8);
      scaling.original_context_limit = Pick(1, 65536);
    }
    if (scaling.kind == RopeScalingKind::kYarn) {
      scaling.beta_fast = Real(16, 64);
      scaling.beta_slow = Real(0.5, 2);
      scaling.original_context_limit = Pick(1, 65536);
      scaling.attention_factor = Coin() ? Real(0.5, 2) : 0;
    }
  }

  // After the rotated size.
  void PickLongRope() {
    RopeScaling& scaling = spec_.rope_scaling;
    if (scaling.kind != RopeScalingKind::kLongRope) return;
    scaling.original_context_limit = Pick(2, 65536);
    scaling.attention_factor = Coin() ? Real(0.5, 2) : 0;
    for (int64_t i = 0; i < RotarySize(spec_) / 2; ++i) {
      scaling.short_factors.push_back(Real(1, 4));
      scaling.long_factors.push_back(Real(1, 64));
    }
  }

  void PickStructure() {
    spec_.activation = static_cast<Activation>(Pick(0, 4));
    if (Is("phi") || Is("phi3") || Is("gpt_neox"))
      spec_.rotary_size = 2 * Pick(1, spec_.head_size / 2);
    if (spec_.rotary_size == spec_.head_size) spec_.rotary_size = 0;
    PickLongRope();
    if (Is("llama") || Is("smollm3") || Is("qwen3") || Is("gemma") || Is("gemma2") ||
        Is("gpt_neox"))
      spec_.qkv_bias = spec_.output_bias = Coin();
    if (Is("llama") || Is("smollm3")) spec_.mlp_bias = Coin();
    if (Is("gpt_neox")) spec_.parallel_blocks = Coin();
    if (Is("smollm3")) spec_.unrotated_layers = PatternOf(Layers());
    if (Is("gemma2")) {
      spec_.attention_soft_cap = Coin() ? Real(10, 90) : 0;
      spec_.logit_soft_cap = Coin() ? Real(10, 90) : 0;
      spec_.attention_scale = Coin() ? 1 / std::sqrt(1000.0 + static_cast<double>(Pick(1, 9))) : 0;
    }
    if (Is("gemma3_text")) spec_.local_rope_theta = Real(1, 1e6);
    if (Is("falcon")) PickFalcon();
    if (Is("mpt")) PickMpt();
  }

  // Key/value heads between one and all come with parallel blocks alone.
  void PickFalcon() {
    const bool some = spec_.kv_head_count > 1 && spec_.kv_head_count < spec_.head_count;
    spec_.parallel_blocks = some || Coin();
    spec_.shared_norm = spec_.parallel_blocks && Coin();
    spec_.qkv_bias = spec_.output_bias = spec_.mlp_bias = Coin();
    if (Coin()) spec_.positions = Positions::kAlibi;
  }

  void PickMpt() {
    spec_.norm_bias = spec_.qkv_bias = spec_.output_bias = spec_.mlp_bias = Coin();
    spec_.positions = Coin() ? Positions::kAlibi : Positions::kLearned;
    if (spec_.positions == Positions::kAlibi) spec_.alibi_bias_max = Real(4, 16);
    if (Coin()) spec_.attention_scale = Real(0.01, 1);
  }

  void PickWindow() {
    const bool all = Is("mistral") || Is("phi3") || Is("mixtral");
    const bool some = Is("qwen2") || Is("qwen3") || Is("smollm3") || Is("gemma2") ||
                      Is("qwen3_moe") || Is("gemma3_text");
    if ((!all && !some) || spec_.context_limit < 2) return;
    const bool slides = Coin();
    if (slides) spec_.sliding_window = Pick(1, spec_.context_limit - 1);
    if (!some || (!slides && !Is("gemma3_text"))) return;
    std::vector<bool> full = Layers();
    full[0] = false;  // a window that no layer has is none
    spec_.full_layers = PatternOf(full);
  }

  std::mt19937_64& random_;
  ModelSpec spec_;
};

inline ModelSpec RandomModel(std::mt19937_64& random) { return RandomModelMaker(random).Make(); }

}  // namespace tunesmith::planner
