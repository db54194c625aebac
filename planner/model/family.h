#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "planner/model/model_spec.h"

// What a family (config.json's model_type) fixes: the structure of its blocks, and what its checkpoints call its tensors.
namespace tunesmith::planner {

struct Family {
  std::string_view name;
  std::string_view architecture;  // of transformers, "LlamaForCausalLM"
  // Why the bundled trainer does not run it ("mixture of experts"); empty: it does. Such families are planned.
  std::string_view not_trained_because;
  bool reads_config = true;  // ModelSpecFromConfigJson knows its fields
};

// Null where there is no such family.
const Family* FindFamily(std::string_view name);
// "llama, mistral, ...": those whose config.json is read.
std::string_view KnownFamilies();

// Sets the fields of the structure that the family fixes; the rest stays. Embedding scales follow the hidden size.
void SetFamilyStructure(ModelSpec* spec);

// Module names. Those of one layer follow `layer`, in which "{}" stands for the layer; null where the family has no such module.
struct ModuleNames {
  const char* embedding = "model.embed_tokens";
  const char* positions = nullptr;
  const char* final_norm = "model.norm";
  const char* head = "lm_head";
  const char* layer = "model.layers.{}.";
  const char* attention_norm = "input_layernorm";
  const char* mlp_norm = "post_attention_layernorm";
  const char* attention_post_norm = nullptr;
  const char* mlp_post_norm = nullptr;
  const char* q_norm = "self_attn.q_norm";
  const char* k_norm = "self_attn.k_norm";
  // By Projection. Projections that one module fuses follow each other and have its name.
  std::array<const char*, 7> projections = {
      "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
      "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
};
ModuleNames NamesOf(const ModelSpec& spec);

// How a checkpoint holds a tensor that the program holds as (output, input), with the outputs of fused projections one after the other.
enum class TensorLayout : uint8_t {
  kPlain,
  kTransposed,  // (input, output): the weights of GPT-2's Conv1D
  kHeadGroups,  // rows by key/value head: its query heads, its key head, its value head (gpt_neox, falcon)
};

}  // namespace tunesmith::planner
