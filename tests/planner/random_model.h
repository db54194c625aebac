#pragma once

#include <random>

#include "planner/model/model_spec.h"

namespace tunesmith::planner {

// A valid model of small random sizes, any family, any rope scaling. For property tests.
inline ModelSpec RandomModel(std::mt19937_64& random) {
  const auto pick = [&random](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  const char* const families[] = {"llama", "mistral", "qwen2"};
  ModelSpec spec;
  spec.name = "random";
  spec.family = families[pick(0, 2)];
  spec.layer_count = pick(1, 40);
  spec.kv_head_count = pick(1, 4);
  spec.head_count = spec.kv_head_count * pick(1, 4);
  spec.head_size = 2 * pick(1, 64);
  spec.hidden_size = pick(1, 1024);
  spec.intermediate_size = pick(1, 4096);
  spec.vocab_size = pick(1, 65536);
  spec.context_limit = pick(1, 65536);
  spec.norm_epsilon = std::uniform_real_distribution<double>(1e-8, 1e-2)(random);
  spec.rope_theta = std::uniform_real_distribution<double>(1, 1e7)(random);
  spec.rope_scaling.kind = static_cast<RopeScalingKind>(pick(0, 2));
  if (spec.rope_scaling.kind != RopeScalingKind::kNone) {
    spec.rope_scaling.factor = std::uniform_real_distribution<double>(1, 64)(random);
  }
  if (spec.rope_scaling.kind == RopeScalingKind::kLlama3) {
    spec.rope_scaling.low_frequency_factor = std::uniform_real_distribution<double>(0.5, 2)(random);
    spec.rope_scaling.high_frequency_factor = std::uniform_real_distribution<double>(3, 8)(random);
    spec.rope_scaling.original_context_limit = pick(1, 65536);
  }
  spec.tied_head = pick(0, 1) == 1;
  spec.qkv_bias = spec.family == "qwen2";
  if (spec.family != "llama" && pick(0, 1) == 1)
    spec.sliding_window = pick(0, static_cast<int>(spec.context_limit) - 1);
  return spec;
}

}  // namespace tunesmith::planner
