#include "trainer/model_io/tensor_names.h"

#include <algorithm>
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

std::string NameOf(const planner::ModelTensor& tensor, int64_t layer) {
  const std::string_view prefix = tensor.layer;
  const size_t at = prefix.find("{}");
  if (at == std::string_view::npos) return StrCat(tensor.module, tensor.suffix);
  return StrCat(prefix.substr(0, at), layer, prefix.substr(at + 2), tensor.module, tensor.suffix);
}

NamedShape Named(const planner::ModelTensor& tensor, int64_t layer) {
  NamedShape named{.name = NameOf(tensor, layer),
                   .shape = {tensor.dims.begin(), tensor.dims.begin() + tensor.rank},
                   .layout = tensor.layout,
                   .role = tensor.role,
                   .bias = tensor.bias};
  if (tensor.layout == planner::TensorLayout::kTransposed)
    std::reverse(named.shape.begin(), named.shape.end());
  return named;
}

}  // namespace

std::vector<NamedShape> TensorsOfModel(const planner::ModelSpec& spec) {
  std::vector<NamedShape> tensors;
  planner::ForEachTopTensor(
      spec, [&](const planner::ModelTensor& tensor) { tensors.push_back(Named(tensor, 0)); });
  for (int64_t layer = 0; layer < spec.layer_count; ++layer) {
    planner::ForEachLayerTensor(
        spec, [&](const planner::ModelTensor& tensor) { tensors.push_back(Named(tensor, layer)); });
  }
  return tensors;
}

std::optional<std::string> CanonicalTensorName(const planner::ModelSpec& spec,
                                               std::string_view name) {
  for (const std::string_view ignored : {".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias",
                                         ".attention.bias", ".attention.masked_bias"}) {
    if (name.ends_with(ignored)) return std::nullopt;
  }
  const std::string head = StrCat(planner::NamesOf(spec).head, ".weight");
  const bool is_head = name == "lm_head.weight" || name == "embed_out.weight";
  // A copy of the embedding as the head of a tied model.
  if (is_head && spec.tied_head) return std::nullopt;
  if (is_head) return head;
  // GPT-2's first files were saved without the head and its prefix.
  const std::string_view prefix = "transformer.";
  if (spec.family == "gpt2" && !name.starts_with(prefix)) return StrCat(prefix, name);
  return std::string(name);
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
