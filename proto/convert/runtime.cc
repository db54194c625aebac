#include "proto/convert/runtime.h"

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/mix.h"
#include "proto/convert/model.h"
#include "proto/convert/prediction.h"
#include "proto/convert/question.h"
#include "proto/convert/violations.h"
#include "runtimes/export.h"

namespace tunesmith::convert {
namespace {

using runtimes::Attention;
using runtimes::Offload;
using runtimes::RuntimeCandidate;
using runtimes::RuntimePins;
using runtimes::RuntimeQuestion;
using runtimes::Tuning;

constexpr int64_t kDefaultRankedCount = 8;

// Enumerators of the protos are those of runtimes/ behind "unspecified".
template <typename Proto, typename Enum>
Proto Shifted(Enum value) {
  return static_cast<Proto>(static_cast<int>(value) + 1);
}

absl::Status ResolveShape(const v1::Question& proto, RuntimeQuestion& question,
                          Violations& violations) {
  if (proto.has_model_name()) {
    TUNESMITH_ASSIGN_OR_RETURN(question.shape, runtimes::FindShape(proto.model_name()));
  } else if (proto.has_model_spec()) {
    const planner::ModelSpec spec =
        ModelSpecFromProto(proto.model_spec(), "question.model_spec", violations);
    if (!violations.empty()) return absl::OkStatus();
    TUNESMITH_ASSIGN_OR_RETURN(question.shape, runtimes::ShapeFromModelSpec(spec));
  } else {
    violations.Add("question.model_name", "is missing; name a model, or give model_spec");
  }
  return absl::OkStatus();
}

absl::Status ResolveDevices(const v1::Question& proto, RuntimeQuestion& question,
                            Violations& violations) {
  planner::DeviceGroup group;
  if (proto.has_device_name()) {
    TUNESMITH_ASSIGN_OR_RETURN(group, planner::ParseDeviceGroup(proto.device_name()));
  } else if (proto.has_device_group()) {
    group = DeviceGroupFromProto(proto.device_group(), "question.device_group", violations);
  } else {
    violations.Add("question.device_name",
                   "is missing; name GPUs such as \"8xA100-80GB\", or give device_group");
  }
  question.hardware = group.hardware;
  question.gpu_count = group.device_count;
  if (group.node_count > 1) question.gpus_per_node = group.device_count / group.node_count;
  question.network_bytes_per_second =
      proto.has_device_group() ? group.network_bytes_per_second : proto.network_bytes_per_second();
  return absl::OkStatus();
}

std::vector<Tuning> TuningsFromProto(const v1::Question& proto, Violations& violations) {
  std::vector<Tuning> tunings;
  for (const int tuning : proto.runtime().tunings()) {
    if (tuning < v1::RUNTIME_TUNING_FULL || tuning > v1::RUNTIME_TUNING_QLORA) {
      violations.Add("question.runtime.tunings", StrCat("holds the unknown value ", tuning));
      continue;
    }
    tunings.push_back(static_cast<Tuning>(tuning - 1));
  }
  if (!tunings.empty()) return tunings;
  if (proto.method() == v1::METHOD_FULL) return {Tuning::kFull};
  if (proto.method() == v1::METHOD_LORA) return {Tuning::kLora};
  if (proto.method() == v1::METHOD_QLORA) return {Tuning::kQlora};
  return {Tuning::kFull, Tuning::kLora, Tuning::kQlora};
}

std::optional<Attention> PinnedAttention(v1::AttentionKernel kernel) {
  if (kernel == v1::ATTENTION_KERNEL_EAGER) return Attention::kEager;
  if (kernel == v1::ATTENTION_KERNEL_FLASH) return Attention::kFlash;
  return std::nullopt;
}

RuntimePins PinsFromProto(const v1::Question& proto) {
  const v1::RuntimeQuestion& runtime = proto.runtime();
  RuntimePins pins;
  if (runtime.has_zero_stage()) pins.zero_stage = runtime.zero_stage();
  if (runtime.offload() != v1::RUNTIME_OFFLOAD_UNSPECIFIED)
    pins.offload = static_cast<Offload>(runtime.offload() - 1);
  if (runtime.checkpointing() != v1::RUNTIME_CHECKPOINTING_UNSPECIFIED)
    pins.checkpointing = runtime.checkpointing() == v1::RUNTIME_CHECKPOINTING_ON;
  pins.attention = PinnedAttention(proto.pinned().attention());
  if (proto.pinned().micro_batch() > 0) pins.micro_batch = proto.pinned().micro_batch();
  return pins;
}

void CheckRuntime(const v1::Question& proto, Violations& violations) {
  const v1::RuntimeQuestion& runtime = proto.runtime();
  if (!v1::RuntimeKind_IsValid(runtime.kind()) || runtime.kind() == v1::RUNTIME_KIND_UNSPECIFIED)
    violations.Add("question.runtime.kind", "is missing; name HF, DEEPSPEED or FSDP");
  if (!v1::RuntimeOffload_IsValid(runtime.offload()))
    violations.Add("question.runtime.offload", "is unknown");
  if (!v1::RuntimeCheckpointing_IsValid(runtime.checkpointing()))
    violations.Add("question.runtime.checkpointing", "is unknown");
  violations.AtLeast("question.workload.context", proto.workload().context(), 1);
  violations.AtLeast("question.workload.rows_per_step", proto.workload().rows_per_step(), 1);
  violations.AtLeast("question.memory_budget_bytes", proto.memory_budget_bytes(), 0);
  violations.AtLeast("question.host_memory_budget_bytes", proto.host_memory_budget_bytes(), 0);
}

// Axes of the bundled trainer that these stacks do not have; asked for, they are refused rather than ignored.
void CheckForeignAxes(const v1::Question& proto, Violations& violations) {
  const auto refuse_if = [&](bool asked, std::string_view field, std::string_view nearest) {
    if (asked)
      violations.Add(field, StrCat("is not an axis of other runtimes; nearest: ", nearest));
  };
  refuse_if(proto.precision() == v1::PRECISION_FP32, "question.precision",
            "16 bits with fp32 masters");
  refuse_if(proto.optimizer() == v1::OPTIMIZER_SGD, "question.optimizer", "adamw");
  refuse_if(proto.optimizer_state() == v1::OPTIMIZER_STATE_BF16, "question.optimizer_state",
            "int8 or fp32");
  refuse_if(proto.accumulation_dtype() == v1::ACCUMULATION_DTYPE_BF16,
            "question.accumulation_dtype", "fp32");
  refuse_if(proto.pinned().attention() == v1::ATTENTION_KERNEL_CUDNN, "question.pinned.attention",
            "flash");
  refuse_if(proto.pinned().loss() == v1::LOSS_KERNEL_CHUNKED, "question.pinned.loss", "full");
  refuse_if(proto.pinned().rungs_size() > 0, "question.pinned.rungs",
            "question.runtime.checkpointing");
  refuse_if(proto.pinned().mlp_tile_count() > 1, "question.pinned.mlp_tile_count", "1");
  refuse_if(proto.pinned().has_gather_depth(), "question.pinned.gather_depth",
            "question.pinned.zero_stage");
  refuse_if(proto.pinned().offload_percent() != 0, "question.pinned.offload_percent",
            "question.pinned.offload");
  refuse_if(proto.pinned().sequence_parallel() > 1, "question.pinned.sequence_parallel", "1");
  refuse_if(proto.workload().loss_token_capacity() > 0, "question.workload.loss_token_capacity",
            "the head on all tokens");
  refuse_if(proto.pinned_memory_budget_bytes() > 0, "question.pinned_memory_budget_bytes",
            "question.host_memory_budget_bytes");
}

v1::RuntimeBytes BytesToProto(const runtimes::Interval& interval) {
  v1::RuntimeBytes proto;
  proto.set_bytes(interval.bytes);
  proto.set_low_bytes(interval.low_bytes);
  proto.set_high_bytes(interval.high_bytes);
  return proto;
}

v1::RuntimeMemory MemoryToProto(const RuntimeCandidate& candidate) {
  const runtimes::MemoryPrediction& memory = candidate.memory;
  v1::RuntimeMemory proto;
  *proto.mutable_allocated() = BytesToProto(memory.allocated);
  *proto.mutable_reserved() = BytesToProto(memory.reserved);
  *proto.mutable_process() = BytesToProto(memory.process);
  proto.set_context_bytes(memory.context_bytes);
  proto.set_binding_instant(std::string(runtimes::InstantName(memory.binding_instant)));
  proto.set_load_bytes(memory.instant_bytes[0]);
  proto.set_loss_bytes(memory.instant_bytes[1]);
  proto.set_backward_bytes(memory.instant_bytes[2]);
  proto.set_optimizer_step_bytes(memory.instant_bytes[3]);
  proto.set_host_bytes(memory.host_bytes);
  proto.set_budget_bytes(candidate.setup.hardware.memory_bytes);
  proto.set_tight(memory.tight);
  return proto;
}

v1::RuntimeTime TimeToProto(const RuntimeCandidate& candidate) {
  const runtimes::TimePrediction& time = candidate.time;
  v1::RuntimeTime proto;
  proto.set_step_seconds(time.step_seconds);
  proto.set_low_seconds(time.low_seconds);
  proto.set_high_seconds(time.high_seconds);
  proto.set_tokens_per_second(time.tokens_per_second_per_gpu *
                              static_cast<double>(candidate.setup.gpu_count));
  proto.set_gemm_seconds(time.gemm_seconds);
  proto.set_attention_seconds(time.attention_seconds);
  proto.set_elementwise_seconds(time.elementwise_seconds);
  proto.set_dequantization_seconds(time.dequantization_seconds);
  proto.set_host_seconds(time.host_seconds);
  proto.set_communication_seconds(time.communication_seconds);
  proto.set_optimizer_seconds(time.optimizer_seconds);
  proto.set_known_device(time.known_device);
  return proto;
}

Tuning TuningOf(const runtimes::RunSetup& setup) {
  if (setup.method == planner::Method::kFull) return Tuning::kFull;
  return setup.quantization == runtimes::Quantization::kNone ? Tuning::kLora : Tuning::kQlora;
}

v1::RuntimeAttention AttentionToProto(Attention attention) {
  if (attention == Attention::kEager) return v1::RUNTIME_ATTENTION_EAGER;
  return attention == Attention::kEfficient ? v1::RUNTIME_ATTENTION_EFFICIENT
                                            : v1::RUNTIME_ATTENTION_FLASH;
}

v1::RuntimeMix MixToProto(const runtimes::RunSetup& setup) {
  v1::RuntimeMix proto;
  proto.set_kind(Shifted<v1::RuntimeKind>(setup.runtime));
  proto.set_tuning(Shifted<v1::RuntimeTuning>(TuningOf(setup)));
  if (setup.method == planner::Method::kLora) proto.set_lora_rank(setup.lora.rank);
  proto.set_zero_stage(setup.zero_stage);
  proto.set_offload(Shifted<v1::RuntimeOffload>(OffloadOf(setup)));
  proto.set_checkpointing(setup.checkpointing ? v1::RUNTIME_CHECKPOINTING_ON
                                              : v1::RUNTIME_CHECKPOINTING_OFF);
  proto.set_attention(AttentionToProto(setup.attention));
  proto.set_micro_batch(setup.micro_batch);
  proto.set_accumulation_count(setup.accumulation_count);
  proto.set_gpu_count(setup.gpu_count);
  return proto;
}

v1::RankedRuntimeMix RankedToProto(const RuntimeCandidate& candidate) {
  v1::RankedRuntimeMix proto;
  *proto.mutable_mix() = MixToProto(candidate.setup);
  proto.set_mix_line(runtimes::FormatSetup(candidate.setup));
  *proto.mutable_memory() = MemoryToProto(candidate);
  *proto.mutable_time() = TimeToProto(candidate);
  return proto;
}

}  // namespace

absl::StatusOr<RuntimeQuestion> RuntimeQuestionFromProto(const v1::Question& proto) {
  Violations violations;
  RuntimeQuestion question;
  CheckRuntime(proto, violations);
  CheckForeignAxes(proto, violations);
  question.tunings = TuningsFromProto(proto, violations);
  if (proto.has_lora()) question.lora = LoraFromProto(proto.lora(), "question.lora", violations);
  question.objective = ObjectiveFromProto(proto.objective(), "question.objective", violations);
  const auto version = runtimes::ChooseVersion(proto.runtime().transformers_version(),
                                               proto.runtime().torch_version());
  violations.AddStatus("question.runtime", version.status());
  if (version.ok()) question.version = *version;
  const absl::Status shape = ResolveShape(proto, question, violations);
  const absl::Status devices = ResolveDevices(proto, question, violations);
  CheckMemoryBudget(proto.memory_budget_bytes(), question.hardware, violations);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  TUNESMITH_RETURN_IF_ERROR(shape);
  TUNESMITH_RETURN_IF_ERROR(devices);
  if (proto.optimizer_state() == v1::OPTIMIZER_STATE_INT8)
    question.optimizer = runtimes::OptimizerKind::kAdamW8Bit;
  question.runtime = static_cast<runtimes::Runtime>(proto.runtime().kind() - 1);
  question.context = proto.workload().context();
  question.rows_per_step = proto.workload().rows_per_step();
  question.dataset_token_count = proto.workload().dataset_token_count();
  if (proto.workload().epoch_count() > 0) question.epoch_count = proto.workload().epoch_count();
  question.double_quantization = !proto.single_quantization();
  question.memory_budget_bytes = proto.memory_budget_bytes();
  question.host_memory_budget_bytes = proto.host_memory_budget_bytes();
  question.pins = PinsFromProto(proto);
  return question;
}

v1::RuntimeAnswer ToProto(const runtimes::RuntimeResult& result) {
  v1::RuntimeAnswer answer;
  for (const RuntimeCandidate& candidate : result.ranked)
    *answer.add_ranked() = RankedToProto(candidate);
  if (result.nearest) *answer.mutable_nearest() = RankedToProto(*result.nearest);
  answer.set_choice_rule(result.choice_rule);
  answer.set_candidate_count(result.candidate_count);
  answer.set_feasible_count(result.feasible_count);
  for (const std::string& note : result.notes) answer.add_notes(note);
  return answer;
}

absl::StatusOr<v1::RecommendResponse> AnswerRuntime(const v1::RecommendRequest& request) {
  TUNESMITH_ASSIGN_OR_RETURN(RuntimeQuestion question,
                             RuntimeQuestionFromProto(request.question()));
  question.ranked_count = request.ranked_count() > 0 ? request.ranked_count() : kDefaultRankedCount;
  TUNESMITH_ASSIGN_OR_RETURN(const runtimes::RuntimeResult result,
                             runtimes::RecommendRuntime(question));
  v1::RecommendResponse response;
  *response.mutable_runtime_answer() = ToProto(result);
  if (!request.question().runtime().with_files() || result.ranked.empty()) return response;
  for (const runtimes::ExportedFile& file : runtimes::ExportFiles(result.ranked.front().setup)) {
    v1::RuntimeFile* proto = response.mutable_runtime_answer()->add_files();
    proto->set_name(file.name);
    proto->set_content(file.content);
  }
  return response;
}

}  // namespace tunesmith::convert
