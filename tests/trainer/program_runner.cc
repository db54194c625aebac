#include "tests/trainer/program_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "planner/program/build_program.h"
#include "planner/program/token_slice.h"
#include "trainer/data/token_slice.h"
#include "trainer/write_quantized.h"

namespace tunesmith::trainer {
namespace {

using planner::Buffer;
using planner::SegmentKind;

// A number in [-1, 1) for a name and an index: SplitMix64's finalizer.
double Noise(uint64_t key, uint64_t index) {
  uint64_t z = key + (index + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-52 - 1.0;
}

uint64_t KeyOf(const std::string& text) {
  uint64_t key = 0xcbf29ce484222325u;
  for (char c : text) key = (key ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return key;
}

// Row `row` of the step's data: documents of uneven lengths, some labels missing, padding at the end of every third row. At most `label_limit`
// tokens are predicted, and in every fourth row none.
struct RowData {
  std::vector<int32_t> tokens, labels, positions, document_starts;
};

RowData MakeRow(int64_t row, int64_t context, int64_t vocab, int64_t label_limit) {
  RowData d;
  int64_t labels_left = row % 4 == 3 && label_limit < context ? 0 : label_limit;
  int64_t start = 0;
  const int64_t used = row % 3 == 2 ? context - context / 4 : context;
  for (int64_t t = 0; t < context; ++t) {
    if (t < used && t > 0 && (t * 7 + row) % 11 == 0) start = t;
    const bool pad = t >= used;
    const auto token = static_cast<int32_t>(std::llround(
                           (Noise(77, static_cast<uint64_t>(row * context + t)) + 1) * 1e6)) %
                       static_cast<int32_t>(vocab);
    d.tokens.push_back(pad ? 0 : token);
    d.positions.push_back(pad ? 0 : static_cast<int32_t>(t - start));
    d.document_starts.push_back(static_cast<int32_t>(pad ? t : start));
  }
  for (int64_t t = 0; t < context; ++t) {
    const auto i = static_cast<size_t>(t);
    const bool last = t + 1 >= used || d.document_starts[i + 1] == t + 1;
    const bool predicted = !last && t % 5 != 3 && labels_left > 0;
    if (predicted) --labels_left;
    d.labels.push_back(predicted ? d.tokens[i + 1] : -1);
  }
  return d;
}

// Names the predicted tokens of a batch, `capacity` entries for every row.
void NamePredicted(int64_t capacity, Batch& batch) {
  const std::vector<int32_t> labels = std::move(batch.labels);
  batch.labels.clear();
  for (int64_t row = 0; row < batch.row_count; ++row) {
    for (int64_t t = row * batch.context; t < (row + 1) * batch.context; ++t) {
      if (labels[static_cast<size_t>(t)] < 0) continue;
      batch.loss_rows.push_back(static_cast<int32_t>(t));
      batch.labels.push_back(labels[static_cast<size_t>(t)]);
    }
    batch.loss_rows.resize(static_cast<size_t>((row + 1) * capacity), -1);
    batch.labels.resize(batch.loss_rows.size(), -1);
  }
}

// Rows [first, first + count) of the step.
Batch MakeBatch(int64_t first, int64_t count, const planner::ProgramInputs& in,
                int64_t label_limit) {
  Batch batch{.row_count = count, .context = in.workload.context};
  const auto append = [](std::vector<int32_t>& to, const std::vector<int32_t>& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (int64_t r = first; r < first + count; ++r) {
    const RowData row = MakeRow(r, batch.context, in.model.vocab_size, label_limit);
    append(batch.tokens, row.tokens);
    append(batch.labels, row.labels);
    append(batch.positions, row.positions);
    append(batch.document_starts, row.document_starts);
  }
  const int64_t capacity = planner::LossTokensPerRow(in.workload);
  if (capacity < batch.context) NamePredicted(capacity, batch);
  return batch;
}

}  // namespace

ProgramRunner::ProgramRunner(const planner::ProgramInputs& inputs, bool guard_buffers,
                             int thread_count, int64_t label_limit, Communicator* communicator)
    : threads_(thread_count),
      label_limit_(label_limit > 0 ? label_limit : planner::LossTokensPerRow(inputs.workload)) {
  auto program = planner::BuildProgram(inputs);
  EXPECT_TRUE(program.ok()) << program.status();
  const OpContext context{
      .device = planner::BackendKind::kCpu, .threads = &threads_, .comm = communicator};
  auto executor = Executor::Create(*std::move(program), context, {.guard_buffers = guard_buffers});
  EXPECT_TRUE(executor.ok()) << executor.status();
  executor_ = *std::move(executor);
  FillWeights();
  for (int64_t row = 0; row < inputs.workload.rows_per_step; ++row) {
    for (int32_t label :
         MakeRow(row, inputs.workload.context, inputs.model.vocab_size, label_limit_).labels)
      valid_token_count_ += label >= 0;
  }
}

void ProgramRunner::FillWeights() {
  for (size_t index = 0; index < executor_->program().parameters.size(); ++index) {
    const planner::Parameter& p = executor_->program().parameters[index];
    const Buffer& b = executor_->program().buffers[static_cast<size_t>(p.weight)];
    for (int64_t i = 0; i < b.instance_count; ++i) {
      const std::string name = b.name.Text(i);
      std::vector<double> values(static_cast<size_t>(ElementCountOf(executor_->program(), p)));
      const bool norm = name.find("norm") != std::string::npos;
      for (size_t e = 0; e < values.size(); ++e)
        values[e] = (norm ? 1.0 : 0.0) + 0.25 * Noise(KeyOf(name), e);
      if (p.absmax >= 0) {
        const std::vector<float> wide(values.begin(), values.end());
        EXPECT_TRUE(WriteQuantized(executor_->arena(), p, i, wide).ok());
        continue;
      }
      WriteBuffer(p.weight, i, values);
      WriteMaster(static_cast<int32_t>(index), i, values);
    }
  }
}

int64_t ProgramRunner::GlobalMicro(int64_t micro) const {
  const planner::Mix& mix = executor_->program().inputs.mix;
  return micro * mix.data_parallel + executor_->arena().rank() / mix.sequence_parallel;
}

double ProgramRunner::Step(bool optimize) {
  const planner::Mix& mix = executor_->program().inputs.mix;
  ClearLoss();
  const float scale = 1.0f / static_cast<float>(valid_token_count_);
  EXPECT_TRUE(
      executor_->arena().Write(executor_->program().host.loss_scale, 0, &scale, sizeof scale).ok());
  for (int64_t micro = 0; micro < mix.accumulation_count; ++micro) {
    LoadMicroBatch(GlobalMicro(micro));
    const bool last = micro + 1 == mix.accumulation_count;
    const absl::Status ran = executor_->Run(micro == 0 ? SegmentKind::kMicroFirst
                                            : last     ? SegmentKind::kMicroLast
                                                       : SegmentKind::kMicroMiddle);
    EXPECT_TRUE(ran.ok()) << ran;
  }
  const double loss = ReadLoss();
  if (optimize) {
    ++optimizer_step_;
    WriteScalars();
    const absl::Status ran = executor_->Run(SegmentKind::kOptimizer);
    EXPECT_TRUE(ran.ok()) << ran;
  }
  return loss;
}

double ProgramRunner::Evaluate() {
  const planner::Mix& mix = executor_->program().inputs.mix;
  ClearLoss();
  for (int64_t micro = 0; micro < mix.accumulation_count; ++micro) {
    LoadMicroBatch(GlobalMicro(micro));
    const absl::Status ran = executor_->Run(SegmentKind::kEvaluate);
    EXPECT_TRUE(ran.ok()) << ran;
  }
  return ReadLoss();
}

void ProgramRunner::WriteScalars() {
  std::vector<float> scalars(planner::kStepScalarCount, 0.0f);
  scalars[planner::kLearningRate] = 1e-2f;
  scalars[planner::kBeta1] = 0.9f;
  scalars[planner::kBeta2] = 0.99f;
  scalars[planner::kBiasCorrection1] =
      static_cast<float>(1 - std::pow(0.9, static_cast<double>(optimizer_step_)));
  scalars[planner::kBiasCorrection2] =
      static_cast<float>(1 - std::pow(0.99, static_cast<double>(optimizer_step_)));
  scalars[planner::kEpsilon] = 1e-6f;
  scalars[planner::kWeightDecay] = 0.1f;
  scalars[planner::kMaxGradientNorm] = static_cast<float>(max_gradient_norm_);
  const planner::HostBuffers& h = executor_->program().host;
  const uint64_t key = planner::StepKey(17, optimizer_step_);
  for (int32_t buffer : {h.step_scalars, h.host_step_scalars}) {
    if (buffer < 0) continue;
    EXPECT_TRUE(
        executor_->arena().Write(buffer, 0, scalars.data(), 4 * planner::kStepScalarCount).ok());
  }
  for (int32_t buffer : {h.step_key, h.host_step_key}) {
    if (buffer < 0) continue;
    EXPECT_TRUE(executor_->arena().Write(buffer, 0, &key, sizeof key).ok());
  }
}

void ProgramRunner::LoadMicroBatch(int64_t micro) {
  const planner::ProgramInputs& in = executor_->program().inputs;
  const int64_t place = executor_->arena().rank() % in.mix.sequence_parallel,
                token_count = planner::SliceTokenCount(in.mix, in.workload);
  const Batch batch = MakeBatch(micro * in.mix.micro_batch, in.mix.micro_batch, in, label_limit_);
  const TokenSlice slice =
      SliceOf(batch, place, token_count, planner::SliceLossTokenCount(in.mix, in.workload));
  const planner::HostBuffers& h = executor_->program().host;
  if (h.dropout_key >= 0) {
    const int64_t before = micro * in.mix.micro_batch * in.workload.context + place * token_count;
    const uint64_t key[2] = {planner::DropoutKey(23, optimizer_step_),
                             static_cast<uint64_t>(before)};
    EXPECT_TRUE(executor_->arena().Write(h.dropout_key, 0, key, sizeof key).ok());
  }
  const auto write = [&](int32_t buffer, const std::vector<int32_t>& values) {
    const planner::Buffer& b = executor_->program().buffers[static_cast<size_t>(buffer)];
    ASSERT_EQ(static_cast<int64_t>(values.size()), planner::ElementCount(b)) << b.name.Text();
    EXPECT_TRUE(executor_->arena().Write(buffer, 0, values.data(), planner::InstanceBytes(b)).ok());
  };
  write(h.tokens, slice.tokens);
  write(h.labels, slice.labels);
  if (h.loss_rows >= 0) write(h.loss_rows, slice.loss_rows);
  write(h.positions, slice.positions);
  write(h.document_starts, slice.document_starts);
}

void ProgramRunner::ClearLoss() {
  const double zero = 0;
  EXPECT_TRUE(
      executor_->arena().Write(executor_->program().host.loss_sum, 0, &zero, sizeof zero).ok());
}

double ProgramRunner::ReadLoss() {
  double sum = 0;
  EXPECT_TRUE(
      executor_->arena().Read(executor_->program().host.loss_sum, 0, &sum, sizeof sum).ok());
  return sum / static_cast<double>(valid_token_count_);
}

double ProgramRunner::GradientNorm() {
  float norm = 0;
  EXPECT_TRUE(
      executor_->arena().Read(executor_->program().host.gradient_norm, 0, &norm, sizeof norm).ok());
  return norm;
}

std::map<std::string, std::vector<double>> ProgramRunner::Gradients() {
  std::map<std::string, std::vector<double>> all;
  const planner::Program& program = executor_->program();
  for (size_t index = 0; index < program.parameters.size(); ++index) {
    const planner::Parameter& p = program.parameters[index];
    if (!p.trainable) continue;
    const Buffer& b = program.buffers[static_cast<size_t>(p.weight)];
    const DType dtype = program.buffers[static_cast<size_t>(p.gradient)].dtype;
    for (int64_t i = 0; i < b.instance_count; ++i) {
      const auto piece =
          GradientPiece(program, executor_->arena().rank(), static_cast<int32_t>(index), i);
      all[b.name.Text(i)] =
          piece ? ReadPiece(*piece, planner::ElementCount(b), dtype)
                : std::vector<double>(static_cast<size_t>(planner::ElementCount(b)));
    }
  }
  return all;
}

std::map<std::string, std::vector<double>> ProgramRunner::Weights() {
  std::map<std::string, std::vector<double>> all;
  for (const StateTensor& tensor :
       StateTensorsOf(executor_->program(), executor_->arena().rank())) {
    const std::string& n = tensor.name;
    if (n.ends_with(".moment1") || n.ends_with(".moment2") || n.ends_with("_scale") ||
        n.ends_with(".master"))
      continue;
    const int64_t count = tensor.bytes / SizeOf(tensor.dtype);
    // A rank saves a weight in one piece: only what the optimizer keeps is in two memories.
    all[n] = tensor.saved.empty() ? std::vector<double>(static_cast<size_t>(count))
                                  : ReadPiece(tensor.saved.front(), count, tensor.dtype);
  }
  return all;
}

void ProgramRunner::SetWeight(const std::string& name, const std::vector<double>& values) {
  for (const planner::Parameter& p : executor_->program().parameters) {
    const Buffer& b = executor_->program().buffers[static_cast<size_t>(p.weight)];
    for (int64_t i = 0; i < b.instance_count; ++i) {
      if (b.name.Text(i) == name) WriteBuffer(p.weight, i, values);
    }
  }
}

std::vector<double> ProgramRunner::ReadBuffer(int32_t buffer, int64_t instance) {
  const Buffer& b = executor_->program().buffers[static_cast<size_t>(buffer)];
  return ReadPiece({.buffer = buffer, .instance = instance, .bytes = planner::InstanceBytes(b)},
                   planner::ElementCount(b), b.dtype);
}

std::vector<double> ProgramRunner::ReadPiece(const Piece& piece, int64_t element_count,
                                             DType dtype) {
  std::vector<double> values(static_cast<size_t>(element_count));
  std::vector<std::byte> bytes(static_cast<size_t>(piece.bytes));
  EXPECT_TRUE(executor_->arena()
                  .Read(piece.buffer, piece.instance, bytes.data(), piece.bytes, piece.buffer_first)
                  .ok());
  const auto first = static_cast<size_t>(piece.tensor_first / SizeOf(dtype)),
             count = static_cast<size_t>(piece.bytes / SizeOf(dtype));
  for (size_t i = 0; i < count; ++i) {
    const std::byte* at = bytes.data() + i * static_cast<size_t>(SizeOf(dtype));
    double& value = values[first + i];
    if (dtype == DType::kF64) {
      std::memcpy(&value, at, sizeof value);
    } else if (dtype == DType::kBF16) {
      uint16_t half = 0;
      std::memcpy(&half, at, sizeof half);
      value = FloatFromBf16(half);
    } else {
      float narrow = 0;
      std::memcpy(&narrow, at, sizeof narrow);
      value = narrow;
    }
  }
  return values;
}

// As far as this rank holds the weight.
void ProgramRunner::WriteBuffer(int32_t buffer, int64_t instance,
                                const std::vector<double>& values) {
  const Buffer& b = executor_->program().buffers[static_cast<size_t>(buffer)];
  const auto write = [&](const void* data) {
    EXPECT_TRUE(WriteWeightPiece(executor_->arena(), buffer, instance, data).ok());
  };
  if (b.dtype == DType::kF64) return write(values.data());
  const std::vector<float> narrow(values.begin(), values.end());
  if (b.dtype != DType::kBF16) return write(narrow.data());
  std::vector<uint16_t> halves(narrow.size());
  std::transform(narrow.begin(), narrow.end(), halves.begin(), Bf16FromFloat);
  write(halves.data());
}

void ProgramRunner::WriteMaster(int32_t parameter, int64_t instance,
                                const std::vector<double>& values) {
  const std::vector<float> narrow(values.begin(), values.end());
  EXPECT_TRUE(WriteMasterPiece(executor_->arena(), parameter, instance, narrow.data()).ok());
}

}  // namespace tunesmith::trainer
