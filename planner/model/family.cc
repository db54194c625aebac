#include "planner/model/family.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>

#include "common/text.h"

namespace tunesmith::planner {
namespace {

constexpr std::string_view kExperts = "the bundled trainer does not run mixtures of experts yet";
constexpr std::string_view kNames =
    "the bundled trainer does not read this family's checkpoints yet";

constexpr Family kFamilyRows[] = {
    {"llama", "LlamaForCausalLM", ""},
    {"mistral", "MistralForCausalLM", ""},
    {"qwen2", "Qwen2ForCausalLM", ""},
    {"qwen3", "Qwen3ForCausalLM", ""},
    {"smollm3", "SmolLM3ForCausalLM", ""},
    {"phi", "PhiForCausalLM", ""},
    {"phi3", "Phi3ForCausalLM", ""},
    {"gemma", "GemmaForCausalLM", ""},
    {"gemma2", "Gemma2ForCausalLM", ""},
    {"gemma3_text", "Gemma3ForCausalLM", ""},
    {"falcon", "FalconForCausalLM", ""},
    {"gpt_neox", "GPTNeoXForCausalLM", ""},
    {"gpt2", "GPT2LMHeadModel", ""},
    {"mpt", "MptForCausalLM", ""},
    {"mixtral", "MixtralForCausalLM", kExperts},
    {"qwen3_moe", "Qwen3MoeForCausalLM", kExperts},
    {"granitemoe", "GraniteMoeForCausalLM", kExperts, false},
    {"gpt_oss", "GptOssForCausalLM", kExperts, false},
    {"baichuan", "BaichuanForCausalLM", kNames, false},
    {"chatglm", "ChatGLMModel", kNames, false},
    {"gpt_bigcode", "GPTBigCodeForCausalLM", kNames, false},
    {"granite", "GraniteForCausalLM", kNames, false},
    {"internlm", "InternLMForCausalLM", kNames, false},
    {"megatron", "GPTModel", kNames, false},
    {"qwen", "QWenLMHeadModel", kNames, false},
    {"stablelm", "StableLmForCausalLM", kNames, false},
};

std::string JoinKnown() {
  std::vector<std::string_view> names;
  for (const Family& family : kFamilyRows) {
    if (family.reads_config) names.push_back(family.name);
  }
  return StrJoin(names, ", ");
}

// Everything of a block that some family fixes and zero means Llama's.
void ClearStructure(ModelSpec* spec) {
  spec->norm = NormKind::kRms;
  spec->norm_bias = spec->norm_adds_one = spec->post_norms = false;
  spec->parallel_blocks = spec->shared_norm = spec->qk_norm = spec->plain_mlp = false;
  spec->positions = Positions::kRotary;
  spec->head_bias = false;
  spec->embedding_scale = 0;
  spec->alibi_bias_max = 0;
  spec->alibi_before_scale = false;
  spec->expert_count = spec->active_expert_count = 0;
}

void SetLayerNorms(ModelSpec* spec) {
  spec->norm = NormKind::kLayer;
  spec->norm_bias = true;
  spec->plain_mlp = true;
}

void SetGemma(ModelSpec* spec) {
  spec->norm_adds_one = true;
  spec->embedding_scale = std::sqrt(static_cast<double>(spec->hidden_size));
  spec->post_norms = spec->family != "gemma";
  spec->qk_norm = spec->family == "gemma3_text";
}

// Parallel blocks, shared norms and ALiBi differ from Falcon to Falcon.
void SetFalcon(ModelSpec* spec) {
  const ModelSpec given = *spec;
  ClearStructure(spec);
  SetLayerNorms(spec);
  spec->parallel_blocks = given.parallel_blocks;
  spec->shared_norm = given.parallel_blocks && given.shared_norm;
  if (given.positions != Positions::kAlibi) return;
  spec->positions = Positions::kAlibi;
  spec->alibi_bias_max = 8;
  spec->alibi_before_scale = true;
}

void SetMpt(ModelSpec* spec) {
  const ModelSpec given = *spec;
  ClearStructure(spec);
  SetLayerNorms(spec);
  spec->norm_bias = given.norm_bias;
  spec->positions = given.positions == Positions::kAlibi ? Positions::kAlibi : Positions::kLearned;
  if (given.positions == Positions::kAlibi) spec->alibi_bias_max = given.alibi_bias_max;
}

ModuleNames LlamaNames(const ModelSpec& spec) {
  ModuleNames names;
  if (spec.family == "phi3") {
    for (size_t i : {0, 1, 2}) names.projections[i] = "self_attn.qkv_proj";
    for (size_t i : {4, 5}) names.projections[i] = "mlp.gate_up_proj";
  }
  if (spec.post_norms) {
    names.attention_post_norm = "post_attention_layernorm";
    names.mlp_norm = "pre_feedforward_layernorm";
    names.mlp_post_norm = "post_feedforward_layernorm";
  }
  return names;
}

ModuleNames PhiNames() {
  ModuleNames names;
  names.final_norm = "model.final_layernorm";
  names.projections[3] = "self_attn.dense";
  names.projections[4] = nullptr;
  names.projections[5] = "mlp.fc1";
  names.projections[6] = "mlp.fc2";
  return names;
}

std::array<const char*, 7> Fused(const char* qkv, const char* output, const char* up,
                                 const char* down) {
  return {qkv, qkv, qkv, output, nullptr, up, down};
}

ModuleNames FalconNames(const ModelSpec& spec) {
  ModuleNames names;
  names.embedding = "transformer.word_embeddings";
  names.final_norm = "transformer.ln_f";
  names.layer = "transformer.h.{}.";
  if (spec.parallel_blocks && !spec.shared_norm) {
    names.attention_norm = "ln_attn";
    names.mlp_norm = "ln_mlp";
  }
  names.projections = Fused("self_attention.query_key_value", "self_attention.dense",
                            "mlp.dense_h_to_4h", "mlp.dense_4h_to_h");
  return names;
}

ModuleNames NeoxNames() {
  ModuleNames names;
  names.embedding = "gpt_neox.embed_in";
  names.final_norm = "gpt_neox.final_layer_norm";
  names.head = "embed_out";
  names.layer = "gpt_neox.layers.{}.";
  names.projections = Fused("attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h",
                            "mlp.dense_4h_to_h");
  return names;
}

ModuleNames Gpt2Names() {
  ModuleNames names;
  names.embedding = "transformer.wte";
  names.positions = "transformer.wpe";
  names.final_norm = "transformer.ln_f";
  names.layer = "transformer.h.{}.";
  names.attention_norm = "ln_1";
  names.mlp_norm = "ln_2";
  names.projections = Fused("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj");
  return names;
}

ModuleNames MptNames() {
  ModuleNames names;
  names.embedding = "transformer.wte";
  names.positions = "transformer.wpe";
  names.final_norm = "transformer.norm_f";
  names.layer = "transformer.blocks.{}.";
  names.attention_norm = "norm_1";
  names.mlp_norm = "norm_2";
  names.projections = Fused("attn.Wqkv", "attn.out_proj", "ffn.up_proj", "ffn.down_proj");
  return names;
}

}  // namespace

const Family* FindFamily(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFamilyRows), std::end(kFamilyRows),
                                   [name](const Family& family) { return family.name == name; });
  return found == std::end(kFamilyRows) ? nullptr : found;
}

std::string_view KnownFamilies() {
  static const auto* const known = new std::string(JoinKnown());
  return *known;
}

void SetFamilyStructure(ModelSpec* spec) {
  const std::string_view family = spec->family;
  const Family* row = FindFamily(family);
  if (row == nullptr || !row->reads_config) return;
  if (family == "falcon") return SetFalcon(spec);
  if (family == "mpt") return SetMpt(spec);
  const ModelSpec given = *spec;
  ClearStructure(spec);
  if (family.starts_with("gemma")) SetGemma(spec);
  if (family == "qwen2") spec->qkv_bias = true;
  if (family == "qwen3" || family == "qwen3_moe") spec->qk_norm = true;
  if (family == "mixtral" || family == "qwen3_moe") {
    spec->expert_count = given.expert_count;
    spec->active_expert_count = given.active_expert_count;
  }
  if (family != "phi" && family != "gpt_neox" && family != "gpt2") return;
  SetLayerNorms(spec);
  spec->mlp_bias = true;
  spec->parallel_blocks = family == "phi" || (family == "gpt_neox" && given.parallel_blocks);
  spec->shared_norm = spec->head_bias = family == "phi";
  if (family != "gpt_neox") spec->qkv_bias = spec->output_bias = true;
  if (family == "gpt2") spec->positions = Positions::kLearned;
}

ModuleNames NamesOf(const ModelSpec& spec) {
  if (spec.family == "phi") return PhiNames();
  if (spec.family == "falcon") return FalconNames(spec);
  if (spec.family == "gpt_neox") return NeoxNames();
  if (spec.family == "gpt2") return Gpt2Names();
  if (spec.family == "mpt") return MptNames();
  ModuleNames names = LlamaNames(spec);
  if (spec.positions == Positions::kLearned) names.positions = "model.embed_positions";
  return names;
}

}  // namespace tunesmith::planner
