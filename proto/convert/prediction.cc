#include "proto/convert/prediction.h"

#include "common/str_cat.h"
#include "proto/convert/mix.h"

namespace tunesmith::convert {
namespace {

using planner::Evidence;
using planner::MemoryClass;

v1::Evidence ToProto(Evidence evidence) {
  switch (evidence) {
    case Evidence::kMeasuredHere:
      return v1::EVIDENCE_MEASURED_HERE;
    case Evidence::kMeasuredOnKind:
      return v1::EVIDENCE_MEASURED_ON_KIND;
    case Evidence::kDatasheet:
      return v1::EVIDENCE_DATASHEET;
  }
  return v1::EVIDENCE_UNSPECIFIED;
}

Evidence EvidenceFromProto(v1::Evidence evidence) {
  switch (evidence) {
    case v1::EVIDENCE_MEASURED_HERE:
      return Evidence::kMeasuredHere;
    case v1::EVIDENCE_MEASURED_ON_KIND:
      return Evidence::kMeasuredOnKind;
    default:
      return Evidence::kDatasheet;
  }
}

v1::MemoryByClass ToProto(const std::array<int64_t, planner::kMemoryClassCount>& bytes) {
  const auto of = [&](MemoryClass memory_class) {
    return bytes[static_cast<size_t>(memory_class)];
  };
  v1::MemoryByClass proto;
  proto.set_weights_bytes(of(MemoryClass::kWeights));
  proto.set_gradients_bytes(of(MemoryClass::kGradients));
  proto.set_optimizer_bytes(of(MemoryClass::kOptimizer));
  proto.set_activations_bytes(of(MemoryClass::kActivations));
  proto.set_logits_bytes(of(MemoryClass::kLogits));
  proto.set_workspace_bytes(of(MemoryClass::kWorkspace));
  proto.set_communication_bytes(of(MemoryClass::kCommunication));
  proto.set_inputs_bytes(of(MemoryClass::kInputs));
  return proto;
}

std::array<int64_t, planner::kMemoryClassCount> ClassBytesFromProto(
    const v1::MemoryByClass& proto) {
  std::array<int64_t, planner::kMemoryClassCount> bytes = {};
  const auto of = [&](MemoryClass memory_class) -> int64_t& {
    return bytes[static_cast<size_t>(memory_class)];
  };
  of(MemoryClass::kWeights) = proto.weights_bytes();
  of(MemoryClass::kGradients) = proto.gradients_bytes();
  of(MemoryClass::kOptimizer) = proto.optimizer_bytes();
  of(MemoryClass::kActivations) = proto.activations_bytes();
  of(MemoryClass::kLogits) = proto.logits_bytes();
  of(MemoryClass::kWorkspace) = proto.workspace_bytes();
  of(MemoryClass::kCommunication) = proto.communication_bytes();
  of(MemoryClass::kInputs) = proto.inputs_bytes();
  return bytes;
}

v1::MemoryPrediction ToProto(const planner::MemoryPrediction& memory) {
  v1::MemoryPrediction proto;
  proto.set_arena_bytes(memory.arena_bytes);
  proto.set_outside_arena_bytes(memory.outside_arena_bytes);
  proto.set_total_bytes(memory.total_bytes);
  proto.set_budget_bytes(memory.budget_bytes);
  *proto.mutable_by_class() = ToProto(memory.class_bytes);
  proto.set_binding_instant(memory.binding_instant);
  for (const planner::InstantBytes& instant : memory.instants) {
    v1::InstantNeed* need = proto.add_instants();
    need->set_instant(instant.name);
    need->set_arena_bytes(instant.bytes);
  }
  proto.set_pinned_bytes(memory.pinned_bytes);
  proto.set_host_bytes(memory.host_bytes);
  proto.set_pinned_budget_bytes(memory.pinned_budget_bytes);
  proto.set_host_budget_bytes(memory.host_budget_bytes);
  return proto;
}

planner::MemoryPrediction MemoryFromProto(const v1::MemoryPrediction& proto, std::string_view field,
                                          Violations& violations) {
  violations.AtLeast(FieldPath(field, "arena_bytes"), proto.arena_bytes(), 0);
  violations.AtLeast(FieldPath(field, "outside_arena_bytes"), proto.outside_arena_bytes(), 0);
  violations.AtLeast(FieldPath(field, "total_bytes"), proto.total_bytes(), 0);
  planner::MemoryPrediction memory{.arena_bytes = proto.arena_bytes(),
                                   .outside_arena_bytes = proto.outside_arena_bytes(),
                                   .total_bytes = proto.total_bytes(),
                                   .budget_bytes = proto.budget_bytes(),
                                   .class_bytes = ClassBytesFromProto(proto.by_class()),
                                   .binding_instant = proto.binding_instant(),
                                   .pinned_bytes = proto.pinned_bytes(),
                                   .host_bytes = proto.host_bytes(),
                                   .pinned_budget_bytes = proto.pinned_budget_bytes(),
                                   .host_budget_bytes = proto.host_budget_bytes()};
  for (const v1::InstantNeed& need : proto.instants())
    memory.instants.push_back({.name = need.instant(), .bytes = need.arena_bytes()});
  return memory;
}

v1::TimePrediction ToProto(const planner::TimePrediction& time) {
  v1::TimePrediction proto;
  proto.set_step_picoseconds(time.step_picoseconds);
  proto.set_step_seconds(time.step_seconds);
  proto.set_low_seconds(time.low_seconds);
  proto.set_high_seconds(time.high_seconds);
  proto.set_compute_seconds(time.compute_seconds);
  proto.set_copy_seconds(time.copy_seconds);
  proto.set_exposed_copy_seconds(time.exposed_copy_seconds);
  proto.set_communication_seconds(time.communication_seconds);
  proto.set_exposed_communication_seconds(time.exposed_communication_seconds);
  proto.set_tokens_per_second(time.tokens_per_second);
  proto.set_total_hours(time.total_hours);
  proto.set_save_seconds(time.save_seconds);
  proto.set_evidence(ToProto(time.evidence));
  proto.set_note(time.note);
  return proto;
}

planner::TimePrediction TimeFromProto(const v1::TimePrediction& proto, std::string_view field,
                                      Violations& violations) {
  violations.NonNegative(FieldPath(field, "step_seconds"), proto.step_seconds());
  return {.step_picoseconds = proto.step_picoseconds(),
          .step_seconds = proto.step_seconds(),
          .low_seconds = proto.low_seconds(),
          .high_seconds = proto.high_seconds(),
          .compute_seconds = proto.compute_seconds(),
          .copy_seconds = proto.copy_seconds(),
          .exposed_copy_seconds = proto.exposed_copy_seconds(),
          .communication_seconds = proto.communication_seconds(),
          .exposed_communication_seconds = proto.exposed_communication_seconds(),
          .tokens_per_second = proto.tokens_per_second(),
          .save_seconds = proto.save_seconds(),
          .total_hours = proto.total_hours(),
          .evidence = EvidenceFromProto(proto.evidence()),
          .note = proto.note()};
}

}  // namespace

v1::Prediction ToProto(const planner::Prediction& prediction) {
  v1::Prediction proto;
  proto.set_fits(prediction.fits);
  *proto.mutable_memory() = ToProto(prediction.memory);
  *proto.mutable_time() = ToProto(prediction.time);
  return proto;
}

planner::Prediction PredictionFromProto(const v1::Prediction& proto, std::string_view field,
                                        Violations& violations) {
  planner::Prediction prediction;
  prediction.fits = proto.fits();
  prediction.memory = MemoryFromProto(proto.memory(), FieldPath(field, "memory"), violations);
  prediction.time = TimeFromProto(proto.time(), FieldPath(field, "time"), violations);
  return prediction;
}

v1::Calibration ToProto(const planner::Calibration& calibration) {
  v1::Calibration proto;
  proto.set_id(calibration.id);
  proto.set_device_name(calibration.device_name);
  proto.set_fingerprint(calibration.fingerprint);
  proto.set_measured_at(calibration.measured_at);
  for (const planner::GemmPoint& point : calibration.gemm) {
    v1::GemmPoint* gemm = proto.add_gemm();
    gemm->set_op_kind(point.op_kind);
    gemm->set_m(point.m);
    gemm->set_n(point.n);
    gemm->set_k(point.k);
    gemm->set_flops_per_second(point.flops_per_second);
  }
  for (const planner::AttentionPoint& point : calibration.attention) {
    v1::AttentionPoint* attention = proto.add_attention();
    attention->set_op_kind(point.op_kind);
    attention->set_context(point.context);
    attention->set_head_size(point.head_size);
    attention->set_flops_per_second(point.flops_per_second);
    attention->set_sequence_count(point.sequence_count);
  }
  for (const planner::OpRate& rate : calibration.rates) {
    v1::OpRate* op_rate = proto.add_rates();
    op_rate->set_op_kind(rate.op_kind);
    op_rate->set_bytes(rate.bytes);
    op_rate->set_bytes_per_second(rate.bytes_per_second);
    op_rate->set_rank_count(rate.rank_count);
  }
  proto.set_launch_seconds(calibration.launch_seconds);
  proto.set_step_factor(calibration.step_factor);
  proto.set_relative_error(calibration.relative_error);
  proto.set_outside_arena_bytes(calibration.outside_arena_bytes);
  proto.set_host_memory_bytes_per_second(calibration.host_memory_bytes_per_second);
  proto.set_link_to_device_bytes_per_second(calibration.link_to_device_bytes_per_second);
  proto.set_link_from_device_bytes_per_second(calibration.link_from_device_bytes_per_second);
  proto.set_checkpoint_bytes_per_second(calibration.checkpoint_bytes_per_second);
  proto.set_busy_share(calibration.busy_share);
  proto.set_clock_hertz(calibration.clock_hertz);
  proto.set_pace_seconds(calibration.pace_seconds);
  proto.set_sharing_factor(calibration.sharing_factor);
  proto.set_precision(ToProto(std::optional(calibration.precision)));
  return proto;
}

planner::Precision PrecisionOf(const v1::Calibration& proto) {
  if (proto.precision() == v1::PRECISION_UNSPECIFIED)
    return proto.device_name() == "cpu" ? planner::Precision::kFp32 : planner::Precision::kBf16;
  return proto.precision() == v1::PRECISION_BF16 ? planner::Precision::kBf16
                                                 : planner::Precision::kFp32;
}

planner::Calibration CalibrationFromProto(const v1::Calibration& proto, std::string_view field,
                                          Violations& violations) {
  planner::Calibration calibration;
  calibration.id = proto.id();
  calibration.device_name = proto.device_name();
  calibration.fingerprint = proto.fingerprint();
  calibration.measured_at = proto.measured_at();
  for (const v1::GemmPoint& point : proto.gemm()) {
    calibration.gemm.push_back({.op_kind = point.op_kind(),
                                .m = point.m(),
                                .n = point.n(),
                                .k = point.k(),
                                .flops_per_second = point.flops_per_second()});
  }
  for (const v1::AttentionPoint& point : proto.attention()) {
    calibration.attention.push_back({.op_kind = point.op_kind(),
                                     .context = point.context(),
                                     .head_size = point.head_size(),
                                     .flops_per_second = point.flops_per_second(),
                                     .sequence_count = point.sequence_count()});
  }
  for (const v1::OpRate& rate : proto.rates()) {
    calibration.rates.push_back({.op_kind = rate.op_kind(),
                                 .bytes = rate.bytes(),
                                 .bytes_per_second = rate.bytes_per_second(),
                                 .rank_count = rate.rank_count()});
  }
  calibration.launch_seconds = proto.launch_seconds();
  calibration.step_factor = proto.step_factor();
  calibration.relative_error = proto.relative_error();
  calibration.outside_arena_bytes = proto.outside_arena_bytes();
  calibration.host_memory_bytes_per_second = proto.host_memory_bytes_per_second();
  calibration.link_to_device_bytes_per_second = proto.link_to_device_bytes_per_second();
  calibration.link_from_device_bytes_per_second = proto.link_from_device_bytes_per_second();
  calibration.checkpoint_bytes_per_second = proto.checkpoint_bytes_per_second();
  calibration.busy_share = proto.busy_share();
  calibration.clock_hertz = proto.clock_hertz();
  calibration.pace_seconds = proto.pace_seconds();
  calibration.sharing_factor = proto.sharing_factor();
  calibration.precision = PrecisionOf(proto);
  if (!v1::Precision_IsValid(proto.precision()))
    violations.Add(FieldPath(field, "precision"),
                   StrCat("is ", static_cast<int>(proto.precision()), ", which is none"));
  if (calibration.id.empty()) violations.Add(FieldPath(field, "id"), "is empty");
  violations.AddStatus(field, planner::ValidateCalibration(calibration));
  return calibration;
}

}  // namespace tunesmith::convert
