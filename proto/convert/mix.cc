#include "proto/convert/mix.h"

#include <array>
#include <utility>

#include "common/str_cat.h"

namespace tunesmith::convert {
namespace {

// One table per axis, read in both directions: {planner's value, proto's value}.
template <typename Planner, typename Proto, size_t kSize>
using AxisTable = std::array<std::pair<Planner, Proto>, kSize>;

constexpr AxisTable<planner::Method, v1::Method, 3> kMethods = {
    {{planner::Method::kFull, v1::METHOD_FULL},
     {planner::Method::kLora, v1::METHOD_LORA},
     {planner::Method::kQlora, v1::METHOD_QLORA}}};
constexpr AxisTable<planner::MethodChoice, v1::Method, 4> kMethodChoices = {
    {{planner::MethodChoice::kAny, v1::METHOD_UNSPECIFIED},
     {planner::MethodChoice::kFull, v1::METHOD_FULL},
     {planner::MethodChoice::kLora, v1::METHOD_LORA},
     {planner::MethodChoice::kQlora, v1::METHOD_QLORA}}};
constexpr AxisTable<planner::Precision, v1::Precision, 2> kPrecisions = {
    {{planner::Precision::kFp32, v1::PRECISION_FP32},
     {planner::Precision::kBf16, v1::PRECISION_BF16}}};
constexpr AxisTable<planner::Optimizer, v1::Optimizer, 2> kOptimizers = {
    {{planner::Optimizer::kAdamW, v1::OPTIMIZER_ADAMW},
     {planner::Optimizer::kSgd, v1::OPTIMIZER_SGD}}};
constexpr AxisTable<planner::OptimizerState, v1::OptimizerState, 3> kOptimizerStates = {
    {{planner::OptimizerState::kFp32, v1::OPTIMIZER_STATE_FP32},
     {planner::OptimizerState::kBf16, v1::OPTIMIZER_STATE_BF16},
     {planner::OptimizerState::kInt8, v1::OPTIMIZER_STATE_INT8}}};
constexpr AxisTable<planner::AccumulationDtype, v1::AccumulationDtype, 2> kAccumulationDtypes = {
    {{planner::AccumulationDtype::kFp32, v1::ACCUMULATION_DTYPE_FP32},
     {planner::AccumulationDtype::kBf16, v1::ACCUMULATION_DTYPE_BF16}}};
constexpr AxisTable<planner::AttentionKernel, v1::AttentionKernel, planner::kAttentionKernelCount>
    kAttentionKernels = {{{planner::AttentionKernel::kEager, v1::ATTENTION_KERNEL_EAGER},
                          {planner::AttentionKernel::kFlash, v1::ATTENTION_KERNEL_FLASH},
                          {planner::AttentionKernel::kCudnn, v1::ATTENTION_KERNEL_CUDNN}}};
constexpr AxisTable<planner::LossKernel, v1::LossKernel, 2> kLossKernels = {
    {{planner::LossKernel::kFull, v1::LOSS_KERNEL_FULL},
     {planner::LossKernel::kChunked, v1::LOSS_KERNEL_CHUNKED}}};
constexpr AxisTable<planner::Offload, v1::Offload, 3> kOffloads = {
    {{planner::Offload::kNone, v1::OFFLOAD_NONE},
     {planner::Offload::kOptimizer, v1::OFFLOAD_OPTIMIZER},
     {planner::Offload::kAll, v1::OFFLOAD_ALL}}};
constexpr AxisTable<planner::Objective, v1::Objective, 3> kObjectives = {
    {{planner::Objective::kTime, v1::OBJECTIVE_TIME},
     {planner::Objective::kMemory, v1::OBJECTIVE_MEMORY},
     {planner::Objective::kBalanced, v1::OBJECTIVE_BALANCED}}};
constexpr AxisTable<planner::Rung, v1::Rung, 6> kRungs = {
    {{planner::Rung::kKeep, v1::RUNG_KEEP},
     {planner::Rung::kActivation, v1::RUNG_ACTIVATION},
     {planner::Rung::kNorms, v1::RUNG_NORMS},
     {planner::Rung::kGateUp, v1::RUNG_GATE_UP},
     {planner::Rung::kBlock, v1::RUNG_BLOCK},
     {planner::Rung::kHost, v1::RUNG_HOST}}};
constexpr AxisTable<planner::LoraTarget, v1::LoraTarget, 7> kLoraTargets = {
    {{planner::kLoraQ, v1::LORA_TARGET_Q},
     {planner::kLoraK, v1::LORA_TARGET_K},
     {planner::kLoraV, v1::LORA_TARGET_V},
     {planner::kLoraO, v1::LORA_TARGET_O},
     {planner::kLoraGate, v1::LORA_TARGET_GATE},
     {planner::kLoraUp, v1::LORA_TARGET_UP},
     {planner::kLoraDown, v1::LORA_TARGET_DOWN}}};

template <typename Planner, typename Proto, size_t kSize>
Proto ProtoValue(const AxisTable<Planner, Proto, kSize>& table, Planner value) {
  for (const auto& [planner_value, proto_value] : table) {
    if (planner_value == value) return proto_value;
  }
  return Proto{};
}

template <typename Planner, typename Proto, size_t kSize>
Planner PlannerValue(const AxisTable<Planner, Proto, kSize>& table, Proto value,
                     std::string_view field, Violations& violations) {
  for (const auto& [planner_value, proto_value] : table) {
    if (proto_value == value) return planner_value;
  }
  violations.Add(field,
                 StrCat("has the value ", static_cast<int>(value), ", which is not one to choose"));
  return table[0].first;
}

v1::Recompute RecomputeToProto(const std::array<int64_t, planner::kRungCount>& layers) {
  v1::Recompute proto;
  proto.set_keep(layers[static_cast<int>(planner::Rung::kKeep)]);
  proto.set_activation(layers[static_cast<int>(planner::Rung::kActivation)]);
  proto.set_norms(layers[static_cast<int>(planner::Rung::kNorms)]);
  proto.set_gate_up(layers[static_cast<int>(planner::Rung::kGateUp)]);
  proto.set_block(layers[static_cast<int>(planner::Rung::kBlock)]);
  proto.set_host(layers[static_cast<int>(planner::Rung::kHost)]);
  return proto;
}

std::array<int64_t, planner::kRungCount> RecomputeFromProto(const v1::Recompute& proto,
                                                            std::string_view field,
                                                            Violations& violations) {
  violations.AtLeast(FieldPath(field, "keep"), proto.keep(), 0);
  violations.AtLeast(FieldPath(field, "activation"), proto.activation(), 0);
  violations.AtLeast(FieldPath(field, "norms"), proto.norms(), 0);
  violations.AtLeast(FieldPath(field, "gate_up"), proto.gate_up(), 0);
  violations.AtLeast(FieldPath(field, "block"), proto.block(), 0);
  violations.AtLeast(FieldPath(field, "host"), proto.host(), 0);
  return {proto.keep(),    proto.activation(), proto.norms(),
          proto.gate_up(), proto.block(),      proto.host()};
}

}  // namespace

v1::LoraSpec ToProto(const planner::LoraSpec& lora) {
  v1::LoraSpec proto;
  proto.set_rank(lora.rank);
  proto.set_alpha(lora.alpha);
  proto.set_rank_stabilized(lora.rank_stabilized);
  proto.set_dropout(lora.dropout);
  for (const auto& [bit, target] : kLoraTargets) {
    if (lora.targets & bit) proto.add_targets(target);
  }
  return proto;
}

planner::LoraSpec LoraFromProto(const v1::LoraSpec& proto, std::string_view field,
                                Violations& violations) {
  violations.AtLeast(FieldPath(field, "rank"), proto.rank(), 1);
  violations.Positive(FieldPath(field, "alpha"), proto.alpha());
  planner::LoraSpec lora = {.rank = proto.rank(), .alpha = proto.alpha(), .targets = 0};
  for (const int target : proto.targets()) {
    lora.targets |= PlannerValue(kLoraTargets, static_cast<v1::LoraTarget>(target),
                                 FieldPath(field, "targets"), violations);
  }
  lora.rank_stabilized = proto.rank_stabilized();
  lora.dropout = proto.dropout();
  violations.NonNegative(FieldPath(field, "dropout"), lora.dropout);
  if (proto.targets().empty()) lora.targets = planner::kLoraAll;
  return lora;
}

v1::Mix ToProto(const planner::Mix& mix) {
  v1::Mix proto;
  proto.set_method(ProtoValue(kMethods, mix.method));
  if (mix.method != planner::Method::kFull) *proto.mutable_lora() = ToProto(mix.lora);
  proto.set_single_quantization(mix.method == planner::Method::kQlora && !mix.double_quantization);
  proto.set_precision(ProtoValue(kPrecisions, mix.precision));
  proto.set_optimizer(ToProto(mix.optimizer));
  proto.set_optimizer_state(ProtoValue(kOptimizerStates, mix.optimizer_state));
  proto.set_accumulation_dtype(ProtoValue(kAccumulationDtypes, mix.accumulation_dtype));
  proto.set_zero_stage(mix.zero_stage);
  if (mix.offload != planner::Offload::kNone) proto.set_offload(ProtoValue(kOffloads, mix.offload));
  if (mix.offload_percent != planner::Mix().offload_percent)
    proto.set_offload_percent(mix.offload_percent);
  if (mix.gather_depth != planner::Mix().gather_depth) proto.set_gather_depth(mix.gather_depth);
  *proto.mutable_recompute() = RecomputeToProto(mix.recompute);
  proto.set_attention(ProtoValue(kAttentionKernels, mix.attention));
  proto.set_loss(ProtoValue(kLossKernels, mix.loss));
  proto.set_mlp_tile_count(mix.mlp_tile_count);
  proto.set_micro_batch(mix.micro_batch);
  proto.set_accumulation_count(mix.accumulation_count);
  proto.set_data_parallel(mix.data_parallel);
  proto.set_sequence_parallel(mix.sequence_parallel);
  return proto;
}

planner::Mix MixFromProto(const v1::Mix& proto, std::string_view field, Violations& violations) {
  const auto path = [&](std::string_view name) { return FieldPath(field, name); };
  planner::Mix mix;
  mix.method = PlannerValue(kMethods, proto.method(), path("method"), violations);
  if (proto.has_lora()) mix.lora = LoraFromProto(proto.lora(), path("lora"), violations);
  mix.double_quantization = !proto.single_quantization();
  mix.precision = PlannerValue(kPrecisions, proto.precision(), path("precision"), violations);
  mix.optimizer = OptimizerFromProto(proto.optimizer(), path("optimizer"), violations);
  mix.optimizer_state =
      PlannerValue(kOptimizerStates, proto.optimizer_state(), path("optimizer_state"), violations);
  mix.accumulation_dtype = PlannerValue(kAccumulationDtypes, proto.accumulation_dtype(),
                                        path("accumulation_dtype"), violations);
  mix.zero_stage = proto.zero_stage();
  if (proto.offload() != v1::OFFLOAD_UNSPECIFIED)
    mix.offload = PlannerValue(kOffloads, proto.offload(), path("offload"), violations);
  if (mix.zero_stage < 0 || mix.zero_stage > 3) {
    violations.Add(path("zero_stage"), StrCat("is ", mix.zero_stage, ", must be 0 to 3"));
  }
  if (proto.offload_percent() != 0) mix.offload_percent = proto.offload_percent();
  if (mix.offload_percent < 1 || mix.offload_percent > 100)
    violations.Add(path("offload_percent"),
                   StrCat("is ", mix.offload_percent, ", must be 1 to 100"));
  if (proto.has_gather_depth()) mix.gather_depth = proto.gather_depth();
  if (mix.gather_depth < 0 || mix.gather_depth > 1)
    violations.Add(path("gather_depth"), StrCat("is ", mix.gather_depth, ", must be 0 or 1"));
  mix.recompute = RecomputeFromProto(proto.recompute(), path("recompute"), violations);
  mix.attention = PlannerValue(kAttentionKernels, proto.attention(), path("attention"), violations);
  mix.loss = PlannerValue(kLossKernels, proto.loss(), path("loss"), violations);
  mix.mlp_tile_count = proto.mlp_tile_count();
  violations.AtLeast(path("mlp_tile_count"), mix.mlp_tile_count, 1);
  mix.micro_batch = proto.micro_batch();
  violations.AtLeast(path("micro_batch"), mix.micro_batch, 1);
  mix.accumulation_count = proto.accumulation_count();
  violations.AtLeast(path("accumulation_count"), mix.accumulation_count, 1);
  mix.data_parallel = proto.data_parallel();
  violations.AtLeast(path("data_parallel"), mix.data_parallel, 1);
  violations.AtLeast(path("sequence_parallel"), proto.sequence_parallel(), 0);
  if (proto.sequence_parallel() > 0) mix.sequence_parallel = proto.sequence_parallel();
  return mix;
}

v1::PinnedAxes ToProto(const planner::PinnedAxes& pinned) {
  v1::PinnedAxes proto;
  if (pinned.attention) proto.set_attention(ProtoValue(kAttentionKernels, *pinned.attention));
  if (pinned.loss) proto.set_loss(ProtoValue(kLossKernels, *pinned.loss));
  proto.set_micro_batch(pinned.micro_batch.value_or(0));
  proto.set_mlp_tile_count(pinned.mlp_tile_count.value_or(0));
  if (pinned.zero_stage) proto.set_zero_stage(*pinned.zero_stage);
  if (pinned.offload) proto.set_offload(ProtoValue(kOffloads, *pinned.offload));
  proto.set_sequence_parallel(pinned.sequence_parallel.value_or(0));
  proto.set_offload_percent(pinned.offload_percent.value_or(0));
  if (pinned.gather_depth) proto.set_gather_depth(*pinned.gather_depth);
  if (pinned.rungs == planner::kAnyRung) return proto;
  for (const auto& [rung, value] : kRungs) {
    if (pinned.rungs & planner::BitOf(rung)) proto.add_rungs(value);
  }
  return proto;
}

planner::PinnedAxes PinnedAxesFromProto(const v1::PinnedAxes& proto, std::string_view field,
                                        Violations& violations) {
  const auto path = [&](std::string_view name) { return FieldPath(field, name); };
  planner::PinnedAxes pinned;
  if (proto.attention() != v1::ATTENTION_KERNEL_UNSPECIFIED)
    pinned.attention =
        PlannerValue(kAttentionKernels, proto.attention(), path("attention"), violations);
  if (proto.loss() != v1::LOSS_KERNEL_UNSPECIFIED)
    pinned.loss = PlannerValue(kLossKernels, proto.loss(), path("loss"), violations);
  violations.AtLeast(path("micro_batch"), proto.micro_batch(), 0);
  if (proto.micro_batch() != 0) pinned.micro_batch = proto.micro_batch();
  violations.AtLeast(path("mlp_tile_count"), proto.mlp_tile_count(), 0);
  if (proto.mlp_tile_count() != 0) pinned.mlp_tile_count = proto.mlp_tile_count();
  if (proto.has_zero_stage()) pinned.zero_stage = proto.zero_stage();
  if (proto.offload_percent() != 0) pinned.offload_percent = proto.offload_percent();
  if (proto.has_gather_depth()) pinned.gather_depth = proto.gather_depth();
  if (proto.offload() != v1::OFFLOAD_UNSPECIFIED)
    pinned.offload = PlannerValue(kOffloads, proto.offload(), path("offload"), violations);
  violations.AtLeast(path("sequence_parallel"), proto.sequence_parallel(), 0);
  if (proto.sequence_parallel() > 0) pinned.sequence_parallel = proto.sequence_parallel();
  if (proto.rungs().empty()) return pinned;
  pinned.rungs = 0;
  for (const int rung : proto.rungs())
    pinned.rungs |= planner::BitOf(
        PlannerValue(kRungs, static_cast<v1::Rung>(rung), path("rungs"), violations));
  return pinned;
}

v1::Method ToProto(planner::MethodChoice choice) { return ProtoValue(kMethodChoices, choice); }

planner::MethodChoice MethodChoiceFromProto(v1::Method method, std::string_view field,
                                            Violations& violations) {
  return PlannerValue(kMethodChoices, method, field, violations);
}

v1::Objective ToProto(planner::Objective objective) { return ProtoValue(kObjectives, objective); }

planner::Objective ObjectiveFromProto(v1::Objective objective, std::string_view field,
                                      Violations& violations) {
  if (objective == v1::OBJECTIVE_UNSPECIFIED) return planner::Objective::kTime;
  return PlannerValue(kObjectives, objective, field, violations);
}

v1::Precision ToProto(const std::optional<planner::Precision>& precision) {
  return precision ? ProtoValue(kPrecisions, *precision) : v1::PRECISION_UNSPECIFIED;
}

std::optional<planner::Precision> PrecisionChoiceFromProto(v1::Precision precision,
                                                           std::string_view field,
                                                           Violations& violations) {
  if (precision == v1::PRECISION_UNSPECIFIED) return std::nullopt;
  return PlannerValue(kPrecisions, precision, field, violations);
}

v1::Optimizer ToProto(planner::Optimizer optimizer) { return ProtoValue(kOptimizers, optimizer); }

planner::Optimizer OptimizerFromProto(v1::Optimizer optimizer, std::string_view field,
                                      Violations& violations) {
  if (optimizer == v1::OPTIMIZER_UNSPECIFIED) return planner::Mix().optimizer;
  return PlannerValue(kOptimizers, optimizer, field, violations);
}

v1::OptimizerState ToProto(planner::OptimizerState state) {
  return ProtoValue(kOptimizerStates, state);
}

planner::OptimizerState OptimizerStateFromProto(v1::OptimizerState state, std::string_view field,
                                                Violations& violations) {
  if (state == v1::OPTIMIZER_STATE_UNSPECIFIED) return planner::Mix().optimizer_state;
  return PlannerValue(kOptimizerStates, state, field, violations);
}

v1::AccumulationDtype ToProto(planner::AccumulationDtype dtype) {
  return ProtoValue(kAccumulationDtypes, dtype);
}

planner::AccumulationDtype AccumulationDtypeFromProto(v1::AccumulationDtype dtype,
                                                      std::string_view field,
                                                      Violations& violations) {
  if (dtype == v1::ACCUMULATION_DTYPE_UNSPECIFIED) return planner::Mix().accumulation_dtype;
  return PlannerValue(kAccumulationDtypes, dtype, field, violations);
}

}  // namespace tunesmith::convert
