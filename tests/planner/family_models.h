#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "planner/model/family.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {

// A toy model for every structure that a family's blocks can have, between them all values of every structural field.
inline std::vector<ModelSpec> FamilyModels(int64_t layer_count) {
  std::vector<ModelSpec> models;
  const auto add = [&](const char* name, const char* family, auto change) {
    ModelSpec spec = ToyModel(layer_count, /*tied_head=*/false);
    spec.name = name;
    spec.family = family;
    spec.qkv_bias = false;
    change(spec);
    SetFamilyStructure(&spec);
    models.push_back(spec);
  };
  const auto plain = [](ModelSpec&) {};
  // Layers take turns at not having the window.
  const auto alternating = [](ModelSpec& s) {
    s.sliding_window = 5;
    s.full_layers = {.period = 2, .bits = 2};
  };
  const auto one_per_head = [](ModelSpec& s) { s.kv_head_count = s.head_count; };
  add("llama with biases", "llama", [](ModelSpec& s) {
    s.qkv_bias = s.output_bias = s.mlp_bias = true;
    s.rope_scaling = {.kind = RopeScalingKind::kYarn, .factor = 4, .original_context_limit = 16};
  });
  add("mistral", "mistral", [](ModelSpec& s) { s.sliding_window = 6; });
  add("qwen3", "qwen3", [](ModelSpec& s) { s.head_size = 6; });
  add("smollm3", "smollm3", [](ModelSpec& s) {
    s.unrotated_layers = {.period = 2, .bits = 2};
    s.tied_head = true;
  });
  add("phi", "phi", [&](ModelSpec& s) {
    one_per_head(s);
    s.rotary_size = 2;
    s.activation = Activation::kGeluTanh;
  });
  add("phi3", "phi3", [](ModelSpec& s) { s.sliding_window = 7; });
  add("phi3 with long rope", "phi3", [](ModelSpec& s) {
    s.rotary_size = 2;
    s.rope_scaling = {.kind = RopeScalingKind::kLongRope,
                      .factor = 4,
                      .original_context_limit = 8,
                      .short_factors = {1.5},
                      .long_factors = {3}};
  });
  add("gemma", "gemma", [](ModelSpec& s) {
    s.kv_head_count = 1;
    s.tied_head = true;
    s.activation = Activation::kGeluTanh;
  });
  add("gemma2", "gemma2", [&](ModelSpec& s) {
    alternating(s);
    s.tied_head = true;
    s.activation = Activation::kGeluTanh;
    s.attention_scale = 1 / std::sqrt(6.0);
    s.attention_soft_cap = 2;
    s.logit_soft_cap = 3;
  });
  add("gemma3", "gemma3_text", [&](ModelSpec& s) {
    alternating(s);
    s.tied_head = true;
    s.activation = Activation::kGeluTanh;
    s.local_rope_theta = 100;
    s.rope_scaling = {.kind = RopeScalingKind::kLinear, .factor = 8};
  });
  add("falcon 7b", "falcon", [](ModelSpec& s) {
    s.parallel_blocks = s.shared_norm = s.tied_head = true;
    s.kv_head_count = 1;
    s.activation = Activation::kGelu;
  });
  add("falcon 40b", "falcon", [](ModelSpec& s) {
    s.parallel_blocks = s.tied_head = true;
    s.activation = Activation::kGelu;
  });
  add("falcon rw", "falcon", [&](ModelSpec& s) {
    one_per_head(s);
    s.positions = Positions::kAlibi;
    s.qkv_bias = s.output_bias = s.mlp_bias = true;
    s.activation = Activation::kGelu;
  });
  add("gpt_neox", "gpt_neox", [&](ModelSpec& s) {
    one_per_head(s);
    s.parallel_blocks = s.qkv_bias = s.output_bias = true;
    s.rotary_size = 2;
    s.activation = Activation::kGelu;
  });
  add("gpt_neox serial", "gpt_neox", [&](ModelSpec& s) {
    one_per_head(s);
    s.activation = Activation::kQuickGelu;
  });
  add("gpt2", "gpt2", [&](ModelSpec& s) {
    one_per_head(s);
    s.tied_head = true;
    s.activation = Activation::kGeluTanh;
  });
  add("mpt", "mpt", [&](ModelSpec& s) {
    one_per_head(s);
    s.tied_head = true;
    s.positions = Positions::kAlibi;
    s.alibi_bias_max = 8;
    s.activation = Activation::kRelu;
  });
  add("mpt learned", "mpt", [&](ModelSpec& s) {
    one_per_head(s);
    s.positions = Positions::kLearned;
    s.norm_bias = s.qkv_bias = s.output_bias = s.mlp_bias = true;
    s.activation = Activation::kGelu;
  });
  add("qwen2", "qwen2", plain);
  return models;
}

// Every family under mixes that cover each placement and both methods; what goes together rotates from family to family.
inline std::vector<ProgramInputs> FamilyGrid(int64_t layer_count, size_t mixes_per_model = 12) {
  std::vector<ProgramInputs> grid;
  const auto recomputes = AllRecomputes(layer_count);
  size_t turn = 0;
  for (const ModelSpec& model : FamilyModels(layer_count)) {
    for (size_t i = 0; i < mixes_per_model; ++i, ++turn) {
      const int64_t accumulation = static_cast<int64_t>(turn % 3) + 1;
      grid.push_back(ToyInputs(
          model, {.method = i % 2 == 0 ? Method::kFull : Method::kLora,
                  .lora = {.rank = turn / 2 % 2 == 0 ? kStackedRank : kOddRank,
                           .alpha = 6.0,
                           .rank_stabilized = turn % 5 == 0,
                           .dropout = turn % 3 == 1 ? 0.25 : 0.0},
                  .recompute = recomputes[(turn * 5 + i) % recomputes.size()],
                  .attention = i / 2 % 2 == 0 ? AttentionKernel::kFlash : AttentionKernel::kEager,
                  .loss = i / 4 % 2 == 0 ? LossKernel::kFull : LossKernel::kChunked,
                  .mlp_tile_count = static_cast<int64_t>(turn / 2 % 3) + 1,
                  .micro_batch = 2,
                  .accumulation_count = accumulation}));
    }
  }
  return grid;
}

inline std::string NameOf(const ProgramInputs& inputs) {
  return inputs.model.name + ": " + FormatMix(inputs.mix);
}

}  // namespace tunesmith::planner
