#include "tests/trainer/program_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "planner/program/build_program.h"
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

// The predicted tokens of a micro-batch, `capacity` entries for every row.
struct LossRows {
  std::vector<int32_t> rows, labels;
};

LossRows NamePredicted(const std::vector<int32_t>& labels, int64_t context, int64_t capacity) {
  LossRows loss;
  for (size_t t = 0; t < labels.size(); ++t) {
    if (t % static_cast<size_t>(context) == 0) {
      loss.rows.resize(t / static_cast<size_t>(context) * static_cast<size_t>(capacity), -1);
    }
    if (labels[t] >= 0) loss.rows.push_back(static_cast<int32_t>(t));
  }
  loss.rows.resize(labels.size() / static_cast<size_t>(context) * static_cast<size_t>(capacity),
                   -1);
  for (int32_t row : loss.rows)
    loss.labels.push_back(row < 0 ? -1 : labels[static_cast<size_t>(row)]);
  return loss;
}

}  // namespace

ProgramRunner::ProgramRunner(const planner::ProgramInputs& inputs, bool guard_buffers,
                             int thread_count, int64_t label_limit)
    : threads_(thread_count),
      label_limit_(label_limit > 0 ? label_limit : planner::LossTokensPerRow(inputs.workload)) {
  auto program = planner::BuildProgram(inputs);
  EXPECT_TRUE(program.ok()) << program.status();
  const OpContext context{.device = planner::BackendKind::kCpu, .threads = &threads_};
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
  for (const planner::Parameter& p : executor_->program().parameters) {
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
      if (p.master >= 0) WriteBuffer(p.master, i, values);
    }
  }
}

double ProgramRunner::Step(bool optimize) {
  const planner::Mix& mix = executor_->program().inputs.mix;
  ClearLoss();
  const float scale = 1.0f / static_cast<float>(valid_token_count_);
  EXPECT_TRUE(
      executor_->arena().Write(executor_->program().host.loss_scale, 0, &scale, sizeof scale).ok());
  for (int64_t micro = 0; micro < mix.accumulation_count; ++micro) {
    LoadMicroBatch(micro);
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
    LoadMicroBatch(micro);
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
  scalars[planner::kMaxGradientNorm] = 0.5f;
  EXPECT_TRUE(executor_->arena()
                  .Write(executor_->program().host.step_scalars, 0, scalars.data(),
                         4 * planner::kStepScalarCount)
                  .ok());
  const uint64_t key = planner::StepKey(17, optimizer_step_);
  EXPECT_TRUE(
      executor_->arena().Write(executor_->program().host.step_key, 0, &key, sizeof key).ok());
}

void ProgramRunner::LoadMicroBatch(int64_t micro) {
  const planner::ProgramInputs& in = executor_->program().inputs;
  RowData all;
  for (int64_t r = 0; r < in.mix.micro_batch; ++r) {
    const RowData row = MakeRow(micro * in.mix.micro_batch + r, in.workload.context,
                                in.model.vocab_size, label_limit_);
    const auto append = [](std::vector<int32_t>& to, const std::vector<int32_t>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    append(all.tokens, row.tokens);
    append(all.labels, row.labels);
    append(all.positions, row.positions);
    append(all.document_starts, row.document_starts);
  }
  const planner::HostBuffers& h = executor_->program().host;
  if (h.dropout_key >= 0) {
    const uint64_t key[2] = {planner::DropoutKey(23, optimizer_step_),
                             static_cast<uint64_t>(micro * in.mix.micro_batch)};
    EXPECT_TRUE(executor_->arena().Write(h.dropout_key, 0, key, sizeof key).ok());
  }
  const auto write = [&](int32_t buffer, const std::vector<int32_t>& values) {
    EXPECT_TRUE(executor_->arena()
                    .Write(buffer, 0, values.data(), static_cast<int64_t>(values.size()) * 4)
                    .ok());
  };
  write(h.tokens, all.tokens);
  if (h.loss_rows < 0) {
    write(h.labels, all.labels);
  } else {
    const LossRows loss =
        NamePredicted(all.labels, in.workload.context, in.workload.loss_token_capacity);
    write(h.labels, loss.labels);
    write(h.loss_rows, loss.rows);
  }
  write(h.positions, all.positions);
  write(h.document_starts, all.document_starts);
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

std::map<std::string, std::vector<double>> ProgramRunner::Gradients() { return ReadAll(true); }
std::map<std::string, std::vector<double>> ProgramRunner::Weights() { return ReadAll(false); }

std::map<std::string, std::vector<double>> ProgramRunner::ReadAll(bool gradients) {
  std::map<std::string, std::vector<double>> all;
  for (const planner::Parameter& p : executor_->program().parameters) {
    if (!p.trainable) continue;
    const Buffer& b = executor_->program().buffers[static_cast<size_t>(p.weight)];
    for (int64_t i = 0; i < b.instance_count; ++i)
      all[b.name.Text(i)] = ReadBuffer(gradients ? p.gradient : p.weight, i);
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
  std::vector<double> values(static_cast<size_t>(planner::ElementCount(b)));
  if (b.dtype == DType::kF64) {
    EXPECT_TRUE(
        executor_->arena().Read(buffer, instance, values.data(), planner::InstanceBytes(b)).ok());
    return values;
  }
  if (b.dtype == DType::kBF16) {
    std::vector<uint16_t> halves(values.size());
    EXPECT_TRUE(
        executor_->arena().Read(buffer, instance, halves.data(), planner::InstanceBytes(b)).ok());
    std::transform(halves.begin(), halves.end(), values.begin(), FloatFromBf16);
    return values;
  }
  std::vector<float> narrow(values.size());
  EXPECT_TRUE(
      executor_->arena().Read(buffer, instance, narrow.data(), planner::InstanceBytes(b)).ok());
  return {narrow.begin(), narrow.end()};
}

void ProgramRunner::WriteBuffer(int32_t buffer, int64_t instance,
                                const std::vector<double>& values) {
  const Buffer& b = executor_->program().buffers[static_cast<size_t>(buffer)];
  if (b.dtype == DType::kF64) {
    EXPECT_TRUE(
        executor_->arena().Write(buffer, instance, values.data(), planner::InstanceBytes(b)).ok());
    return;
  }
  const std::vector<float> narrow(values.begin(), values.end());
  if (b.dtype == DType::kBF16) {
    std::vector<uint16_t> halves(narrow.size());
    std::transform(narrow.begin(), narrow.end(), halves.begin(), Bf16FromFloat);
    EXPECT_TRUE(
        executor_->arena().Write(buffer, instance, halves.data(), planner::InstanceBytes(b)).ok());
    return;
  }
  EXPECT_TRUE(
      executor_->arena().Write(buffer, instance, narrow.data(), planner::InstanceBytes(b)).ok());
}

}  // namespace tunesmith::trainer
