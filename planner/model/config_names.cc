#include "planner/model/config_names.h"

namespace tunesmith::planner {
namespace {

struct OtherName {
  std::string_view family;
  std::string_view llama_name;
  const char* name;
};

// From transformers' configuration files.
constexpr OtherName kOtherNames[] = {
    {"falcon", "num_key_value_heads", "num_kv_heads"},
    {"falcon", "intermediate_size", "ffn_hidden_size"},
    {"falcon", "rms_norm_eps", "layer_norm_epsilon"},
    {"falcon", "hidden_act", "activation"},
    {"gpt2", "num_hidden_layers", "n_layer"},
    {"gpt2", "hidden_size", "n_embd"},
    {"gpt2", "intermediate_size", "n_inner"},
    {"gpt2", "num_attention_heads", "n_head"},
    {"gpt2", "max_position_embeddings", "n_positions"},
    {"gpt2", "rms_norm_eps", "layer_norm_epsilon"},
    {"gpt2", "hidden_act", "activation_function"},
    {"mpt", "num_hidden_layers", "n_layers"},
    {"mpt", "hidden_size", "d_model"},
    {"mpt", "intermediate_size", "expansion_ratio"},
    {"mpt", "num_attention_heads", "n_heads"},
    {"mpt", "max_position_embeddings", "max_seq_len"},
    {"mpt", "rms_norm_eps", "layer_norm_epsilon"},
    {"gpt_neox", "rms_norm_eps", "layer_norm_eps"},
    {"phi", "rms_norm_eps", "layer_norm_eps"},
    {"gemma2", "hidden_act", "hidden_activation"},
    {"gemma3_text", "hidden_act", "hidden_activation"},
    {"qwen3_moe", "intermediate_size", "moe_intermediate_size"},
};

}  // namespace

const char* ConfigName(std::string_view family, const char* llama_name) {
  for (const OtherName& other : kOtherNames) {
    if (other.family == family && other.llama_name == llama_name) return other.name;
  }
  return llama_name;
}

}  // namespace tunesmith::planner
