#include "trainer/job/session.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/dtype.h"
#include "common/environment_flag.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "planner/model/model_difference.h"
#include "planner/program/token_slice.h"
#include "trainer/comm/communicator.h"
#include "trainer/model_io/tensor_names.h"
#include "trainer/model_io/weight_layout.h"
#include "trainer/noise_weights.h"
#include "trainer/pieces.h"
#include "trainer/write_quantized.h"

namespace tunesmith::trainer {
namespace {

using planner::Buffer;
using planner::SegmentKind;

bool IsAdapter(const std::string& name) { return name.find(".lora_") != std::string::npos; }

// PEFT's initial adapter: A is Kaiming-uniform with a = sqrt(5), which is +-1/sqrt(inputs); B is zero, so that training starts at the base model.
std::vector<float> InitialAdapter(const Buffer& buffer, const std::string& name, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(planner::ElementCount(buffer)), 0.0f);
  if (name.find(".lora_A.") == std::string::npos) return values;
  const uint64_t key = RandomKey(seed, name);
  const double bound = 1.0 / std::sqrt(static_cast<double>(buffer.dims[1]));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>((2 * RandomUniform(key, i) - 1) * bound);
  return values;
}

std::vector<uint16_t> ToBf16(absl::Span<const float> values) {
  std::vector<uint16_t> narrow(values.size());
  std::transform(values.begin(), values.end(), narrow.begin(),
                 [](float x) { return Bf16FromFloat(x); });
  return narrow;
}

// As far as this rank holds the weight.
absl::Status WriteFloats(Arena& arena, int32_t id, int64_t instance,
                         absl::Span<const float> values) {
  const Buffer& buffer = arena.program().buffers[static_cast<size_t>(id)];
  if (buffer.dtype == DType::kBF16)
    return WriteWeightPiece(arena, id, instance, ToBf16(values).data());
  return WriteWeightPiece(arena, id, instance, values.data());
}

absl::StatusOr<std::vector<float>> ReadFloats(Arena& arena, int32_t id, int64_t instance) {
  const Buffer& buffer = arena.program().buffers[static_cast<size_t>(id)];
  std::vector<float> values(static_cast<size_t>(planner::ElementCount(buffer)));
  if (buffer.dtype == DType::kBF16) {
    std::vector<uint16_t> narrow(values.size());
    TUNESMITH_RETURN_IF_ERROR(
        arena.Read(id, instance, narrow.data(), planner::InstanceBytes(buffer)));
    std::transform(narrow.begin(), narrow.end(), values.begin(),
                   [](uint16_t x) { return FloatFromBf16(x); });
    return values;
  }
  TUNESMITH_RETURN_IF_ERROR(
      arena.Read(id, instance, values.data(), planner::InstanceBytes(buffer)));
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> Session::Create(planner::Program program,
                                                         const OpContext& context,
                                                         const WeightSource& weights,
                                                         uint64_t seed) {
  const auto differences = planner::ModelDifferences(program.inputs.model, weights.spec());
  if (!differences.empty())
    return absl::FailedPreconditionError(
        StrCat("the plan is for another model than '", weights.spec().name, "': it has ",
               StrJoin(differences, "; "), "; make the plan again for this model"));
  TUNESMITH_ASSIGN_OR_RETURN(auto session, Open(std::move(program), context, seed));
  TUNESMITH_RETURN_IF_ERROR(session->LoadWeights(weights, seed));
  return session;
}

absl::StatusOr<std::unique_ptr<Session>> Session::CreateWithNoise(planner::Program program,
                                                                  const OpContext& context,
                                                                  uint64_t seed) {
  TUNESMITH_ASSIGN_OR_RETURN(auto session, Open(std::move(program), context, seed));
  TUNESMITH_RETURN_IF_ERROR(FillWithNoise(session->executor().arena()));
  return session;
}

absl::StatusOr<std::unique_ptr<Session>> Session::Open(planner::Program program,
                                                       const OpContext& context, uint64_t seed) {
  // Asked for, because no device has shown yet what graphs save of time and take of memory.
  TUNESMITH_ASSIGN_OR_RETURN(const bool graphs, FlagOfEnvironment("TUNESMITH_CUDA_GRAPHS", false));
  TUNESMITH_ASSIGN_OR_RETURN(auto executor,
                             Executor::Create(std::move(program), context, {.graphs = graphs}));
  auto session = std::unique_ptr<Session>(new Session(std::move(executor), seed));
  session->FindLayouts();
  return session;
}

void Session::FindLayouts() {
  const planner::ModelSpec& model = program().inputs.model;
  constexpr std::string_view kWeight = ".weight";
  for (const NamedShape& tensor : TensorsOfModel(model)) {
    if (tensor.layout == planner::TensorLayout::kPlain) continue;
    layouts_[tensor.name] = tensor.layout;
    // What an adapter adds to a module's outputs has their order; its own matrices are never transposed.
    if (tensor.layout != planner::TensorLayout::kHeadGroups || tensor.bias) continue;
    const std::string module = tensor.name.substr(0, tensor.name.size() - kWeight.size());
    layouts_[module + ".lora_B.weight"] = tensor.layout;
  }
}

planner::TensorLayout Session::LayoutOf(const std::string& name) const {
  const auto found = layouts_.find(name);
  return found == layouts_.end() ? planner::TensorLayout::kPlain : found->second;
}

std::optional<Nf4Weight> Session::StoredCodes(const WeightSource& weights,
                                              const planner::Parameter& p,
                                              const std::string& name) const {
  if (p.absmax < 0) return std::nullopt;
  std::optional<Nf4Weight> stored = weights.ReadNf4(name);
  if (!stored || stored->double_quantized() != (p.absmax_scale >= 0)) return std::nullopt;
  const Buffer& buffer = program().buffers[static_cast<size_t>(p.weight)];
  return ToProgramOrder(program().inputs.model, LayoutOf(name), buffer.dims[0], *std::move(stored));
}

absl::Status Session::LoadWeights(const WeightSource& weights, uint64_t seed) {
  Arena& arena = executor_->arena();
  std::vector<float> values;
  for (size_t index = 0; index < program().parameters.size(); ++index) {
    const planner::Parameter& p = program().parameters[index];
    const Buffer& buffer = program().buffers[static_cast<size_t>(p.weight)];
    for (int64_t i = 0; i < buffer.instance_count; ++i) {
      const std::string name = buffer.name.Text(i);
      if (const std::optional<Nf4Weight> stored = StoredCodes(weights, p, name); stored) {
        TUNESMITH_RETURN_IF_ERROR(WriteQuantized(arena, p, i, *stored));
        continue;
      }
      if (IsAdapter(name)) {
        values = InitialAdapter(buffer, name, seed);
      } else {
        values.resize(static_cast<size_t>(ElementCountOf(program(), p)));
        TUNESMITH_RETURN_IF_ERROR(weights.Read(name, absl::MakeSpan(values)));
        values = ToProgramOrder(program().inputs.model, LayoutOf(name), buffer.dims[0],
                                std::move(values));
      }
      if (p.absmax >= 0) {
        TUNESMITH_RETURN_IF_ERROR(WriteQuantized(arena, p, i, values));
        continue;
      }
      TUNESMITH_RETURN_IF_ERROR(WriteFloats(arena, p.weight, i, values));
      TUNESMITH_RETURN_IF_ERROR(
          WriteMasterPiece(arena, static_cast<int32_t>(index), i, values.data()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TokenSlice> Session::SliceOfRank(const Batch& batch) const {
  const planner::ProgramInputs& in = program().inputs;
  const int64_t tokens = in.mix.micro_batch * in.workload.context,
                labels = in.mix.micro_batch * planner::LossTokensPerRow(in.workload);
  if (batch.row_count * batch.context != tokens) {
    return absl::InvalidArgumentError(StrCat("batch: rows(", batch.row_count, ") x context(",
                                             batch.context, ") != tokens of the program(", tokens,
                                             ")"));
  }
  const bool names_rows = !batch.loss_rows.empty(), named = labels < tokens;
  if (names_rows != named || static_cast<int64_t>(batch.labels.size()) != labels) {
    return absl::InvalidArgumentError(StrCat("batch: ", batch.labels.size(),
                                             names_rows ? " named" : "", " labels != ", labels,
                                             named ? " named" : "", " labels of the program"));
  }
  return SliceOf(batch, executor_->arena().rank() % in.mix.sequence_parallel,
                 planner::SliceTokenCount(in.mix, in.workload),
                 planner::SliceLossTokenCount(in.mix, in.workload));
}

absl::Status Session::Load(const TokenSlice& slice) {
  const planner::HostBuffers& h = program().host;
  const auto write = [this](int32_t buffer, const std::vector<int32_t>& values) {
    return executor_->arena().Write(buffer, 0, values.data(),
                                    4 * static_cast<int64_t>(values.size()));
  };
  TUNESMITH_RETURN_IF_ERROR(write(h.tokens, slice.tokens));
  TUNESMITH_RETURN_IF_ERROR(write(h.labels, slice.labels));
  if (h.loss_rows >= 0) TUNESMITH_RETURN_IF_ERROR(write(h.loss_rows, slice.loss_rows));
  TUNESMITH_RETURN_IF_ERROR(write(h.positions, slice.positions));
  return write(h.document_starts, slice.document_starts);
}

absl::Status Session::WriteConstants(const StepConstants& c) {
  std::array<float, planner::kStepScalarCount> scalars = {};
  const double step = static_cast<double>(c.optimizer_step);
  scalars[planner::kLearningRate] = static_cast<float>(c.learning_rate);
  scalars[planner::kBeta1] = static_cast<float>(c.beta1);
  scalars[planner::kBeta2] = static_cast<float>(c.beta2);
  scalars[planner::kBiasCorrection1] = static_cast<float>(1 - std::pow(c.beta1, step));
  scalars[planner::kBiasCorrection2] = static_cast<float>(1 - std::pow(c.beta2, step));
  scalars[planner::kEpsilon] = static_cast<float>(c.epsilon);
  scalars[planner::kWeightDecay] = static_cast<float>(c.weight_decay);
  scalars[planner::kMaxGradientNorm] = static_cast<float>(c.max_gradient_norm);
  TUNESMITH_RETURN_IF_ERROR(
      executor_->arena().Write(program().host.step_scalars, 0, scalars.data(), sizeof scalars));
  const uint64_t key = planner::StepKey(seed_, c.optimizer_step);
  const planner::HostBuffers& h = program().host;
  if (h.host_step_scalars >= 0) {
    TUNESMITH_RETURN_IF_ERROR(
        executor_->arena().Write(h.host_step_scalars, 0, scalars.data(), sizeof scalars));
    TUNESMITH_RETURN_IF_ERROR(executor_->arena().Write(h.host_step_key, 0, &key, sizeof key));
  }
  return executor_->arena().Write(h.step_key, 0, &key, sizeof key);
}

absl::Status Session::WriteDropoutKey(int64_t optimizer_step, int64_t first_token) {
  const int32_t buffer = program().host.dropout_key;
  if (buffer < 0) return absl::OkStatus();
  const std::array<uint64_t, 2> key = {planner::DropoutKey(seed_, optimizer_step),
                                       static_cast<uint64_t>(first_token)};
  return executor_->arena().Write(buffer, 0, key.data(), sizeof key);
}

absl::Status Session::ClearLossSum() {
  const double zero = 0;
  return executor_->arena().Write(program().host.loss_sum, 0, &zero, sizeof zero);
}

absl::StatusOr<double> Session::ReadLossSum() {
  double sum = 0;
  TUNESMITH_RETURN_IF_ERROR(executor_->arena().Read(program().host.loss_sum, 0, &sum, sizeof sum));
  return sum;
}

absl::StatusOr<StepResult> Session::Step(absl::Span<const Batch> micro_batches,
                                         const StepConstants& constants) {
  StepResult result;
  std::vector<TokenSlice> slices;
  double token_count = 0;
  for (const Batch& batch : micro_batches) {
    TUNESMITH_ASSIGN_OR_RETURN(slices.emplace_back(), SliceOfRank(batch));
    token_count += static_cast<double>(slices.back().valid_label_count);
  }
  TUNESMITH_RETURN_IF_ERROR(SumOverRanks({&token_count, 1}));
  result.predicted_token_count = static_cast<int64_t>(token_count);
  if (result.predicted_token_count == 0)
    return absl::InvalidArgumentError("the step has no token to predict: every label is masked");
  const float scale = 1.0f / static_cast<float>(result.predicted_token_count);
  TUNESMITH_RETURN_IF_ERROR(
      executor_->arena().Write(program().host.loss_scale, 0, &scale, sizeof scale));
  TUNESMITH_RETURN_IF_ERROR(WriteConstants(constants));
  TUNESMITH_RETURN_IF_ERROR(ClearLossSum());
  for (size_t i = 0; i < slices.size(); ++i) {
    TUNESMITH_RETURN_IF_ERROR(Load(slices[i]));
    TUNESMITH_RETURN_IF_ERROR(WriteDropoutKey(constants.optimizer_step, TokensBefore(i)));
    const bool last = i + 1 == slices.size();
    TUNESMITH_RETURN_IF_ERROR(executor_->Run(i == 0 ? SegmentKind::kMicroFirst
                                             : last ? SegmentKind::kMicroLast
                                                    : SegmentKind::kMicroMiddle));
  }
  TUNESMITH_ASSIGN_OR_RETURN(double loss_sum, ReadLossSum());
  TUNESMITH_RETURN_IF_ERROR(SumOverRanks({&loss_sum, 1}));
  result.mean_loss = loss_sum / static_cast<double>(result.predicted_token_count);
  if (!std::isfinite(result.mean_loss))
    return absl::DataLossError(StrCat("the loss is ", result.mean_loss));
  TUNESMITH_RETURN_IF_ERROR(executor_->Run(SegmentKind::kOptimizer));
  float norm = 0;
  TUNESMITH_RETURN_IF_ERROR(
      executor_->arena().Read(program().host.gradient_norm, 0, &norm, sizeof norm));
  result.gradient_norm = norm;
  if (!std::isfinite(norm))
    return absl::DataLossError(StrCat("the gradient norm is ", result.gradient_norm));
  return result;
}

absl::Status Session::Evaluate(const Batch& batch, EvaluationResult& result) {
  const bool alone = executor_->context().comm == nullptr;
  if (batch.valid_label_count == 0 && alone) return absl::OkStatus();
  TUNESMITH_RETURN_IF_ERROR(ClearLossSum());
  TUNESMITH_ASSIGN_OR_RETURN(const TokenSlice slice, SliceOfRank(batch));
  TUNESMITH_RETURN_IF_ERROR(Load(slice));
  TUNESMITH_RETURN_IF_ERROR(executor_->Run(SegmentKind::kEvaluate));
  TUNESMITH_ASSIGN_OR_RETURN(const double loss_sum, ReadLossSum());
  std::array<double, 2> sums = {loss_sum, static_cast<double>(slice.valid_label_count)};
  TUNESMITH_RETURN_IF_ERROR(SumOverRanks(absl::MakeSpan(sums)));
  if (sums[1] == 0) return absl::OkStatus();
  const double before = result.mean_loss * static_cast<double>(result.predicted_token_count);
  result.predicted_token_count += static_cast<int64_t>(sums[1]);
  result.mean_loss = (before + sums[0]) / static_cast<double>(result.predicted_token_count);
  return absl::OkStatus();
}

absl::Status Session::SumOverRanks(absl::Span<double> values) {
  Communicator* ranks = executor_->context().comm;
  if (ranks == nullptr) return absl::OkStatus();
  return ranks->AllReduce(values.data(), static_cast<int64_t>(values.size()), DType::kF64);
}

// Of the step's tokens, before this rank's slice of its so many-th micro-batch.
int64_t Session::TokensBefore(size_t micro_batch) const {
  const planner::ProgramInputs& in = program().inputs;
  const int64_t before = static_cast<int64_t>(micro_batch) * planner::RankCount(in.mix);
  return (before + executor_->arena().rank()) * planner::SliceTokenCount(in.mix, in.workload);
}

absl::StatusOr<int32_t> Session::NextToken(int32_t token, int32_t position) {
  const planner::HostBuffers& h = program().host;
  TUNESMITH_RETURN_IF_ERROR(executor_->arena().Write(h.generate_token, 0, &token, sizeof token));
  TUNESMITH_RETURN_IF_ERROR(
      executor_->arena().Write(h.generate_position, 0, &position, sizeof position));
  TUNESMITH_RETURN_IF_ERROR(executor_->Run(SegmentKind::kGenerate));
  int32_t next = 0;
  TUNESMITH_RETURN_IF_ERROR(executor_->arena().Read(h.generated_token, 0, &next, sizeof next));
  return next;
}

absl::StatusOr<std::vector<int32_t>> Session::Generate(absl::Span<const int32_t> prompt,
                                                       int64_t count,
                                                       absl::Span<const int32_t> end_tokens) {
  const int64_t context = program().inputs.workload.context,
                length = static_cast<int64_t>(prompt.size());
  if (length == 0 || length >= context)
    return absl::InvalidArgumentError(StrCat("prompt: ", length, " tokens, must be 1 to ",
                                             context - 1, " (the context less one)"));
  int32_t next = 0;
  for (int64_t i = 0; i < length; ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(next,
                               NextToken(prompt[static_cast<size_t>(i)], static_cast<int32_t>(i)));
  }
  std::vector<int32_t> generated;
  for (int64_t position = length; static_cast<int64_t>(generated.size()) < count; ++position) {
    if (std::find(end_tokens.begin(), end_tokens.end(), next) != end_tokens.end()) break;
    generated.push_back(next);
    if (position >= context) break;
    TUNESMITH_ASSIGN_OR_RETURN(next, NextToken(next, static_cast<int32_t>(position)));
  }
  return generated;
}

absl::StatusOr<Session::Weight> Session::FindWeight(const std::string& name) const {
  for (const planner::Parameter& p : program().parameters) {
    const Buffer& buffer = program().buffers[static_cast<size_t>(p.weight)];
    for (int64_t i = 0; i < buffer.instance_count; ++i) {
      if (buffer.name.Text(i) == name) return Weight{p.weight, i};
    }
  }
  return absl::NotFoundError(StrCat("the step program has no weight ", name));
}

absl::StatusOr<std::vector<float>> Session::ReadStaged(const std::string& name,
                                                       const Weight& tensor, int32_t staging) {
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<float> values,
                             ReadFloats(executor_->arena(), staging, tensor.instance));
  const Buffer& buffer = program().buffers[static_cast<size_t>(tensor.buffer)];
  return FromProgramOrder(program().inputs.model, LayoutOf(name), buffer.dims[0],
                          std::move(values));
}

absl::StatusOr<std::vector<float>> Session::ReadWeight(const std::string& name) {
  TUNESMITH_ASSIGN_OR_RETURN(const Weight tensor, FindWeight(name));
  TUNESMITH_ASSIGN_OR_RETURN(const int32_t staging,
                             executor_->RunSave(tensor.buffer, tensor.instance));
  return ReadStaged(name, tensor, staging);
}

absl::Status Session::ReadWeight(const std::string& name, absl::Span<float> out) {
  TUNESMITH_ASSIGN_OR_RETURN(const Weight tensor, FindWeight(name));
  TUNESMITH_ASSIGN_OR_RETURN(const int32_t staging,
                             executor_->RunSave(tensor.buffer, tensor.instance));
  const Buffer& buffer = program().buffers[static_cast<size_t>(staging)];
  if (static_cast<int64_t>(out.size()) != planner::ElementCount(buffer))
    return absl::InvalidArgumentError(StrCat("weight ", name, " has ",
                                             planner::ElementCount(buffer),
                                             " elements, room was given for ", out.size()));
  if (LayoutOf(name) == planner::TensorLayout::kPlain && buffer.dtype == DType::kF32)
    return executor_->arena().Read(staging, tensor.instance, out.data(),
                                   planner::InstanceBytes(buffer));
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<float> values, ReadStaged(name, tensor, staging));
  std::copy(values.begin(), values.end(), out.begin());
  return absl::OkStatus();
}

absl::Status Session::WriteWeight(const std::string& name, absl::Span<const float> values) {
  TUNESMITH_ASSIGN_OR_RETURN(const Weight tensor, FindWeight(name));
  const Buffer& buffer = program().buffers[static_cast<size_t>(tensor.buffer)];
  if (static_cast<int64_t>(values.size()) != planner::ElementCount(buffer)) {
    return absl::InvalidArgumentError(StrCat("tensor ", name, " has ", values.size(),
                                             " elements, the plan's weight has ",
                                             planner::ElementCount(buffer)));
  }
  return WriteFloats(executor_->arena(), tensor.buffer, tensor.instance,
                     ToProgramOrder(program().inputs.model, LayoutOf(name), buffer.dims[0],
                                    {values.begin(), values.end()}));
}

}  // namespace tunesmith::trainer
