#include "proto/convert/model.h"

#include <algorithm>
#include <limits>

#include "common/str_cat.h"

namespace tunesmith::convert {
namespace {

using planner::RopeScalingKind;

v1::RopeScalingKind ToProto(RopeScalingKind kind) {
  switch (kind) {
    case RopeScalingKind::kNone:
      return v1::ROPE_SCALING_KIND_NONE;
    case RopeScalingKind::kLinear:
      return v1::ROPE_SCALING_KIND_LINEAR;
    case RopeScalingKind::kLlama3:
      return v1::ROPE_SCALING_KIND_LLAMA3;
    case RopeScalingKind::kDynamic:
      return v1::ROPE_SCALING_KIND_DYNAMIC;
    case RopeScalingKind::kYarn:
      return v1::ROPE_SCALING_KIND_YARN;
    case RopeScalingKind::kLongRope:
      return v1::ROPE_SCALING_KIND_LONGROPE;
  }
  return v1::ROPE_SCALING_KIND_UNSPECIFIED;
}

RopeScalingKind KindFromProto(v1::RopeScalingKind kind, std::string_view field,
                              Violations& violations) {
  switch (kind) {
    case v1::ROPE_SCALING_KIND_UNSPECIFIED:
    case v1::ROPE_SCALING_KIND_NONE:
      return RopeScalingKind::kNone;
    case v1::ROPE_SCALING_KIND_LINEAR:
      return RopeScalingKind::kLinear;
    case v1::ROPE_SCALING_KIND_LLAMA3:
      return RopeScalingKind::kLlama3;
    case v1::ROPE_SCALING_KIND_DYNAMIC:
      return RopeScalingKind::kDynamic;
    case v1::ROPE_SCALING_KIND_YARN:
      return RopeScalingKind::kYarn;
    case v1::ROPE_SCALING_KIND_LONGROPE:
      return RopeScalingKind::kLongRope;
    default:
      violations.Add(field, "is not a known kind of scaling");
      return RopeScalingKind::kNone;
  }
}

v1::RopeScaling ToProto(const planner::RopeScaling& scaling) {
  v1::RopeScaling proto;
  proto.set_kind(ToProto(scaling.kind));
  proto.set_factor(scaling.factor);
  proto.set_low_frequency_factor(scaling.low_frequency_factor);
  proto.set_high_frequency_factor(scaling.high_frequency_factor);
  proto.set_original_context_limit(scaling.original_context_limit);
  proto.set_beta_fast(scaling.beta_fast);
  proto.set_beta_slow(scaling.beta_slow);
  proto.set_attention_factor(scaling.attention_factor);
  proto.mutable_short_factors()->Assign(scaling.short_factors.begin(), scaling.short_factors.end());
  proto.mutable_long_factors()->Assign(scaling.long_factors.begin(), scaling.long_factors.end());
  return proto;
}

planner::RopeScaling RopeScalingFromProto(const v1::RopeScaling& proto, std::string_view field,
                                          Violations& violations) {
  planner::RopeScaling scaling;
  scaling.kind = KindFromProto(proto.kind(), FieldPath(field, "kind"), violations);
  scaling.factor = proto.factor();
  scaling.low_frequency_factor = proto.low_frequency_factor();
  scaling.high_frequency_factor = proto.high_frequency_factor();
  scaling.original_context_limit = proto.original_context_limit();
  if (proto.beta_fast() != 0) scaling.beta_fast = proto.beta_fast();
  if (proto.beta_slow() != 0) scaling.beta_slow = proto.beta_slow();
  scaling.attention_factor = proto.attention_factor();
  scaling.short_factors.assign(proto.short_factors().begin(), proto.short_factors().end());
  scaling.long_factors.assign(proto.long_factors().begin(), proto.long_factors().end());
  return scaling;
}

v1::LayerPattern ToProto(const planner::LayerPattern& pattern) {
  v1::LayerPattern proto;
  proto.set_period(pattern.period);
  proto.set_bits(pattern.bits);
  return proto;
}

planner::LayerPattern PatternFromProto(const v1::LayerPattern& proto) {
  return {.period = proto.period() == 0 ? 1 : proto.period(), .bits = proto.bits()};
}

// The protos' enums have one value more, in front: not said, which is the first.
template <typename Proto, typename Enum>
Proto EnumToProto(Enum value) {
  return static_cast<Proto>(static_cast<int>(value) + 1);
}

template <typename Enum>
Enum EnumFromProto(int value, Enum last, std::string_view field, Violations& violations) {
  if (value >= 0 && value <= static_cast<int>(last) + 1)
    return static_cast<Enum>(std::max(0, value - 1));
  violations.Add(field, "is not a value that is known here");
  return Enum{};
}

void SetStructure(const planner::ModelSpec& spec, v1::ModelSpec* proto) {
  proto->set_norm(EnumToProto<v1::NormKind>(spec.norm));
  proto->set_norm_bias(spec.norm_bias);
  proto->set_norm_adds_one(spec.norm_adds_one);
  proto->set_post_norms(spec.post_norms);
  proto->set_parallel_blocks(spec.parallel_blocks);
  proto->set_shared_norm(spec.shared_norm);
  proto->set_qk_norm(spec.qk_norm);
  proto->set_plain_mlp(spec.plain_mlp);
  proto->set_activation(EnumToProto<v1::Activation>(spec.activation));
  proto->set_positions(EnumToProto<v1::Positions>(spec.positions));
  proto->set_rotary_size(spec.rotary_size);
  proto->set_output_bias(spec.output_bias);
  proto->set_mlp_bias(spec.mlp_bias);
  proto->set_head_bias(spec.head_bias);
  proto->set_attention_scale(spec.attention_scale);
  proto->set_attention_soft_cap(spec.attention_soft_cap);
  proto->set_logit_soft_cap(spec.logit_soft_cap);
  proto->set_embedding_scale(spec.embedding_scale);
  *proto->mutable_full_layers() = ToProto(spec.full_layers);
  proto->set_local_rope_theta(spec.local_rope_theta);
  *proto->mutable_unrotated_layers() = ToProto(spec.unrotated_layers);
  proto->set_alibi_bias_max(spec.alibi_bias_max);
  proto->set_alibi_before_scale(spec.alibi_before_scale);
  proto->set_expert_count(spec.expert_count);
  proto->set_active_expert_count(spec.active_expert_count);
}

void ReadStructure(const v1::ModelSpec& proto, std::string_view field, Violations& violations,
                   planner::ModelSpec* spec) {
  const auto read = [&](int value, auto last, std::string_view name) {
    return EnumFromProto(value, last, FieldPath(field, name), violations);
  };
  spec->norm = read(proto.norm(), planner::NormKind::kLayer, "norm");
  spec->norm_bias = proto.norm_bias();
  spec->norm_adds_one = proto.norm_adds_one();
  spec->post_norms = proto.post_norms();
  spec->parallel_blocks = proto.parallel_blocks();
  spec->shared_norm = proto.shared_norm();
  spec->qk_norm = proto.qk_norm();
  spec->plain_mlp = proto.plain_mlp();
  spec->activation = read(proto.activation(), planner::Activation::kRelu, "activation");
  spec->positions = read(proto.positions(), planner::Positions::kAlibi, "positions");
  spec->rotary_size = proto.rotary_size();
  spec->output_bias = proto.output_bias();
  spec->mlp_bias = proto.mlp_bias();
  spec->head_bias = proto.head_bias();
  spec->attention_scale = proto.attention_scale();
  spec->attention_soft_cap = proto.attention_soft_cap();
  spec->logit_soft_cap = proto.logit_soft_cap();
  spec->embedding_scale = proto.embedding_scale();
  spec->full_layers = PatternFromProto(proto.full_layers());
  spec->local_rope_theta = proto.local_rope_theta();
  spec->unrotated_layers = PatternFromProto(proto.unrotated_layers());
  spec->alibi_bias_max = proto.alibi_bias_max();
  spec->alibi_before_scale = proto.alibi_before_scale();
  spec->expert_count = proto.expert_count();
  spec->active_expert_count = proto.active_expert_count();
}

}  // namespace

v1::ModelSpec ToProto(const planner::ModelSpec& spec) {
  v1::ModelSpec proto;
  proto.set_name(spec.name);
  proto.set_family(spec.family);
  proto.set_layer_count(spec.layer_count);
  proto.set_hidden_size(spec.hidden_size);
  proto.set_intermediate_size(spec.intermediate_size);
  proto.set_head_count(spec.head_count);
  proto.set_kv_head_count(spec.kv_head_count);
  proto.set_head_size(spec.head_size);
  proto.set_vocab_size(spec.vocab_size);
  proto.set_context_limit(spec.context_limit);
  proto.set_norm_epsilon(spec.norm_epsilon);
  proto.set_rope_theta(spec.rope_theta);
  *proto.mutable_rope_scaling() = ToProto(spec.rope_scaling);
  proto.set_tied_head(spec.tied_head);
  proto.set_qkv_bias(spec.qkv_bias);
  proto.set_source(spec.source);
  proto.set_sliding_window(spec.sliding_window);
  SetStructure(spec, &proto);
  return proto;
}

planner::ModelSpec ModelSpecFromProto(const v1::ModelSpec& proto, std::string_view field,
                                      Violations& violations) {
  planner::ModelSpec spec;
  spec.name = proto.name();
  spec.family = proto.family();
  spec.layer_count = proto.layer_count();
  spec.hidden_size = proto.hidden_size();
  spec.intermediate_size = proto.intermediate_size();
  spec.head_count = proto.head_count();
  spec.kv_head_count = proto.kv_head_count();
  spec.head_size = proto.head_size();
  spec.vocab_size = proto.vocab_size();
  spec.context_limit = proto.context_limit();
  spec.norm_epsilon = proto.norm_epsilon();
  spec.rope_theta = proto.rope_theta();
  if (proto.has_rope_scaling()) {
    spec.rope_scaling =
        RopeScalingFromProto(proto.rope_scaling(), FieldPath(field, "rope_scaling"), violations);
  }
  spec.tied_head = proto.tied_head();
  spec.qkv_bias = proto.qkv_bias();
  spec.source = proto.source();
  spec.sliding_window = proto.sliding_window();
  ReadStructure(proto, field, violations, &spec);
  violations.AddStatus(field, planner::ValidateModelSpec(spec));
  return spec;
}

namespace {

v1::LengthBin ToProto(const planner::LengthBin& bin) {
  v1::LengthBin proto;
  proto.set_upper_edge(bin.upper_edge);
  proto.set_document_count(bin.document_count);
  proto.set_predicted_token_count(bin.predicted_token_count);
  return proto;
}

planner::LengthHistogram HistogramFromProto(const v1::Workload& proto, std::string_view field,
                                            Violations& violations) {
  planner::LengthHistogram histogram;
  int64_t below = 0;
  for (const v1::LengthBin& bin : proto.length_histogram()) {
    const std::string path = StrCat(field, "[", histogram.size(), "]");
    violations.AtLeast(FieldPath(path, "upper_edge"), bin.upper_edge(), below + 1);
    violations.AtLeast(FieldPath(path, "document_count"), bin.document_count(), 0);
    violations.AtLeast(FieldPath(path, "predicted_token_count"), bin.predicted_token_count(), 0);
    below = std::max(below, std::min(bin.upper_edge(), std::numeric_limits<int64_t>::max() - 1));
    histogram.push_back({.upper_edge = bin.upper_edge(),
                         .document_count = bin.document_count(),
                         .predicted_token_count = bin.predicted_token_count()});
  }
  return histogram;
}

}  // namespace

v1::Workload ToProto(const planner::Workload& workload) {
  v1::Workload proto;
  proto.set_context(workload.context);
  proto.set_rows_per_step(workload.rows_per_step);
  proto.set_document_capacity(workload.document_capacity);
  proto.set_dataset_token_count(workload.dataset_token_count);
  proto.set_epoch_count(workload.epoch_count);
  proto.set_evaluates(workload.evaluates);
  proto.set_generates(workload.generates);
  proto.set_loss_token_capacity(workload.loss_token_capacity);
  for (const planner::LengthBin& bin : workload.length_histogram)
    *proto.add_length_histogram() = ToProto(bin);
  return proto;
}

planner::Workload WorkloadFromProto(const v1::Workload& proto, std::string_view field,
                                    Violations& violations) {
  violations.AtLeast(FieldPath(field, "context"), proto.context(), 1);
  violations.AtLeast(FieldPath(field, "rows_per_step"), proto.rows_per_step(), 1);
  violations.AtLeast(FieldPath(field, "document_capacity"), proto.document_capacity(), 0);
  violations.AtLeast(FieldPath(field, "loss_token_capacity"), proto.loss_token_capacity(), 0);
  violations.AtLeast(FieldPath(field, "dataset_token_count"), proto.dataset_token_count(), 0);
  violations.NonNegative(FieldPath(field, "epoch_count"), proto.epoch_count());
  return {.context = proto.context(),
          .rows_per_step = proto.rows_per_step(),
          .document_capacity = proto.document_capacity(),
          .loss_token_capacity = proto.loss_token_capacity(),
          .length_histogram =
              HistogramFromProto(proto, FieldPath(field, "length_histogram"), violations),
          .dataset_token_count = proto.dataset_token_count(),
          .epoch_count = proto.epoch_count() == 0 ? 1.0 : proto.epoch_count(),
          .evaluates = proto.evaluates(),
          .generates = proto.generates()};
}

v1::Hardware ToProto(const planner::Hardware& hardware) {
  v1::Hardware proto;
  proto.set_name(hardware.name);
  proto.set_description(hardware.description);
  proto.set_memory_bytes(hardware.memory_bytes);
  proto.set_memory_bytes_per_second(hardware.memory_bytes_per_second);
  proto.set_bf16_dense_flops_per_second(hardware.bf16_dense_flops_per_second);
  proto.set_fp16_dense_flops_per_second(hardware.fp16_dense_flops_per_second);
  proto.set_fp32_dense_flops_per_second(hardware.fp32_dense_flops_per_second);
  proto.set_link_bytes_per_second(hardware.link_bytes_per_second);
  proto.set_host_bytes_per_second(hardware.host_bytes_per_second);
  proto.set_compute_capability(hardware.compute_capability);
  proto.set_trainer_runs(hardware.trainer_runs);
  proto.set_source(hardware.source);
  return proto;
}

planner::Hardware HardwareFromProto(const v1::Hardware& proto, std::string_view field,
                                    Violations& violations) {
  if (proto.name().empty()) violations.Add(FieldPath(field, "name"), "is empty");
  violations.AtLeast(FieldPath(field, "memory_bytes"), proto.memory_bytes(), 1);
  violations.Positive(FieldPath(field, "memory_bytes_per_second"), proto.memory_bytes_per_second());
  violations.NonNegative(FieldPath(field, "bf16_dense_flops_per_second"),
                         proto.bf16_dense_flops_per_second());
  violations.NonNegative(FieldPath(field, "fp16_dense_flops_per_second"),
                         proto.fp16_dense_flops_per_second());
  violations.Positive(FieldPath(field, "fp32_dense_flops_per_second"),
                      proto.fp32_dense_flops_per_second());
  violations.NonNegative(FieldPath(field, "link_bytes_per_second"), proto.link_bytes_per_second());
  violations.NonNegative(FieldPath(field, "host_bytes_per_second"), proto.host_bytes_per_second());
  violations.AtLeast(FieldPath(field, "compute_capability"), proto.compute_capability(), 0);
  return {.name = proto.name(),
          .description = proto.description(),
          .memory_bytes = proto.memory_bytes(),
          .memory_bytes_per_second = proto.memory_bytes_per_second(),
          .bf16_dense_flops_per_second = proto.bf16_dense_flops_per_second(),
          .fp16_dense_flops_per_second = proto.fp16_dense_flops_per_second(),
          .fp32_dense_flops_per_second = proto.fp32_dense_flops_per_second(),
          .link_bytes_per_second = proto.link_bytes_per_second(),
          .host_bytes_per_second = proto.host_bytes_per_second(),
          .compute_capability = proto.compute_capability(),
          .trainer_runs = proto.trainer_runs(),
          .source = proto.source()};
}

v1::DeviceGroup ToProto(const planner::DeviceGroup& devices) {
  v1::DeviceGroup proto;
  *proto.mutable_hardware() = ToProto(devices.hardware);
  proto.set_device_count(devices.device_count);
  if (devices.node_count > 1) proto.set_node_count(devices.node_count);
  proto.set_network_bytes_per_second(devices.network_bytes_per_second);
  return proto;
}

planner::DeviceGroup DeviceGroupFromProto(const v1::DeviceGroup& proto, std::string_view field,
                                          Violations& violations) {
  violations.AtLeast(FieldPath(field, "device_count"), proto.device_count(), 1);
  violations.AtLeast(FieldPath(field, "node_count"), proto.node_count(), 0);
  return {.hardware = HardwareFromProto(proto.hardware(), FieldPath(field, "hardware"), violations),
          .device_count = proto.device_count(),
          .node_count = std::max<int64_t>(proto.node_count(), 1),
          .network_bytes_per_second = proto.network_bytes_per_second()};
}

}  // namespace tunesmith::convert
