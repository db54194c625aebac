#include "trainer/model_io/tensor_names.h"

#include <utility>

#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

constexpr std::string_view kLayerPrefix = "model.layers.";

constexpr std::pair<std::string_view, std::string_view> kTopNames[] = {
    {"model.embed_tokens", "token_embd"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
};

// Modules of a layer, after "model.layers.N." and "blk.N.".
constexpr std::pair<std::string_view, std::string_view> kLayerNames[] = {
    {"input_layernorm", "attn_norm"},    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},      {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"}, {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
};

template <size_t kCount>
std::optional<std::string> Translate(
    const std::pair<std::string_view, std::string_view> (&names)[kCount], std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  for (const auto& [from, to] : names) {
    if (from == name.substr(0, dot)) return StrCat(to, name.substr(dot));
  }
  return std::nullopt;
}

void AddLayer(const planner::ModelSpec& spec, int64_t layer, std::vector<NamedShape>* tensors) {
  const int64_t query_size = spec.head_count * spec.head_size;
  const int64_t kv_size = spec.kv_head_count * spec.head_size;
  const auto add = [&](std::string_view suffix, std::vector<int64_t> shape) {
    tensors->push_back({StrCat(kLayerPrefix, layer, ".", suffix), std::move(shape)});
  };
  add("input_layernorm.weight", {spec.hidden_size});
  add("self_attn.q_proj.weight", {query_size, spec.hidden_size});
  add("self_attn.k_proj.weight", {kv_size, spec.hidden_size});
  add("self_attn.v_proj.weight", {kv_size, spec.hidden_size});
  if (spec.qkv_bias) {
    add("self_attn.q_proj.bias", {query_size});
    add("self_attn.k_proj.bias", {kv_size});
    add("self_attn.v_proj.bias", {kv_size});
  }
  add("self_attn.o_proj.weight", {spec.hidden_size, query_size});
  add("post_attention_layernorm.weight", {spec.hidden_size});
  add("mlp.gate_proj.weight", {spec.intermediate_size, spec.hidden_size});
  add("mlp.up_proj.weight", {spec.intermediate_size, spec.hidden_size});
  add("mlp.down_proj.weight", {spec.hidden_size, spec.intermediate_size});
}

}  // namespace

std::vector<NamedShape> TensorsOfModel(const planner::ModelSpec& spec) {
  std::vector<NamedShape> tensors;
  tensors.push_back({"model.embed_tokens.weight", {spec.vocab_size, spec.hidden_size}});
  for (int64_t layer = 0; layer < spec.layer_count; ++layer) AddLayer(spec, layer, &tensors);
  tensors.push_back({"model.norm.weight", {spec.hidden_size}});
  if (!spec.tied_head) tensors.push_back({"lm_head.weight", {spec.vocab_size, spec.hidden_size}});
  return tensors;
}

std::optional<std::string> GgufTensorName(std::string_view name) {
  if (!name.starts_with(kLayerPrefix)) return Translate(kTopNames, name);
  const std::string_view rest = name.substr(kLayerPrefix.size());
  const size_t dot = rest.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::optional<std::string> inner = Translate(kLayerNames, rest.substr(dot + 1));
  if (!inner.has_value()) return std::nullopt;
  return StrCat("blk.", rest.substr(0, dot), ".", *inner);
}

}  // namespace tunesmith::trainer
