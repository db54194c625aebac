#include "tests/benchmarks/op_case.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

using planner::BufferRef;
using planner::Program;

// Operands repeat so many random elements.
constexpr int64_t kPatternCount = int64_t{1} << 20;

// What integers of a buffer may be: token ids and labels are spread over the vocabulary, positions count up.
int32_t IntegerAt(const Program& program, int32_t buffer, int64_t i, std::mt19937& random) {
  const planner::HostBuffers& host = program.host;
  const int64_t vocab = program.inputs.model.vocab_size;
  const int64_t context = program.inputs.workload.context;
  if (buffer == host.tokens || buffer == host.labels || buffer == host.generate_token) {
    return static_cast<int32_t>(random() % static_cast<uint64_t>(vocab));
  }
  if (buffer == host.loss_rows) return static_cast<int32_t>(i);
  if (buffer == host.positions) return static_cast<int32_t>(i % context);
  if (buffer == host.generate_position) return static_cast<int32_t>(context - 1);
  return 0;
}

// In [0.01, 1): second moments, scales and step scalars have to be positive; everything else is given a sign.
float FloatAt(bool positive, std::mt19937& random) {
  const float value = std::uniform_real_distribution<float>(0.01f, 1.0f)(random);
  return positive || random() % 2 == 0 ? value : -value;
}

bool IsPositive(const Program& program, int32_t buffer) {
  if (buffer == program.host.step_scalars) return true;
  return std::any_of(
      program.parameters.begin(), program.parameters.end(), [buffer](const planner::Parameter& p) {
        return p.moment2 == buffer || p.moment1_scale == buffer || p.moment2_scale == buffer;
      });
}

template <typename Stored>
void Append(std::vector<std::byte>& bytes, Stored value) {
  const size_t at = bytes.size();
  bytes.resize(at + sizeof(value));
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

std::vector<std::byte> Pattern(const Program& program, int32_t buffer, int64_t count) {
  const DType dtype = program.buffers[static_cast<size_t>(buffer)].dtype;
  const bool positive = IsPositive(program, buffer);
  std::mt19937 random(static_cast<uint32_t>(buffer) + 1);
  std::vector<std::byte> bytes;
  for (int64_t i = 0; i < std::min(count, kPatternCount); ++i) {
    switch (dtype) {
      case DType::kI32:
        Append(bytes, IntegerAt(program, buffer, i, random));
        break;
      case DType::kBF16:
        Append(bytes, Bf16FromFloat(FloatAt(positive, random)));
        break;
      case DType::kF64:
        Append(bytes, double{FloatAt(true, random)});
        break;
      default:
        Append(bytes, FloatAt(positive, random));
    }
  }
  return bytes;
}

absl::Status FillWithPattern(DeviceMemory& memory, const std::vector<std::byte>& pattern) {
  const auto step = static_cast<int64_t>(pattern.size());
  for (int64_t offset = 0; offset < memory.size_bytes(); offset += step) {
    TUNESMITH_RETURN_IF_ERROR(
        memory.CopyFromHost(offset, pattern.data(), std::min(step, memory.size_bytes() - offset)));
  }
  return memory.Synchronize();
}

std::string TensorText(const Tensor& tensor) {
  std::string text = "(";
  for (int i = 0; i < tensor.rank; ++i) {
    text += StrCat(i == 0 ? "" : ", ", tensor.dims[static_cast<size_t>(i)]);
  }
  return StrCat(text, ") ", DTypeName(tensor.dtype));
}

// Of one case: every buffer's pattern is made once.
using Patterns = std::map<int32_t, std::vector<std::byte>>;

const std::vector<std::byte>& PatternOf(Patterns& patterns, const Program& program,
                                        int32_t buffer) {
  const auto [it, is_new] = patterns.try_emplace(buffer);
  if (is_new) {
    it->second =
        Pattern(program, buffer, planner::SpanCount(program.buffers[static_cast<size_t>(buffer)]));
  }
  return it->second;
}

// A set of operands in memory of its own, which is appended to `memory`.
absl::StatusOr<OpCall> PlaceOperands(const Program& program, const planner::Op& op,
                                     const OpContext& context, Patterns& patterns,
                                     std::vector<std::unique_ptr<DeviceMemory>>& memory) {
  OpCall call = {.kind = op.kind,
                 .attributes = op.attributes,
                 .model = &program.inputs.model,
                 .input_count = op.input_count,
                 .output_count = op.output_count};
  std::map<std::pair<int32_t, int32_t>, std::byte*> placed;  // an op may name a buffer twice
  const auto place = [&](BufferRef ref) -> absl::StatusOr<Tensor> {
    const planner::Buffer& buffer = program.buffers[static_cast<size_t>(ref.buffer)];
    const auto [it, is_new] = placed.emplace(std::pair(ref.buffer, ref.shift), nullptr);
    if (is_new) {
      TUNESMITH_ASSIGN_OR_RETURN(auto operand,
                                 DeviceMemory::Allocate(context, planner::SpanBytes(buffer)));
      TUNESMITH_RETURN_IF_ERROR(
          FillWithPattern(*operand, PatternOf(patterns, program, ref.buffer)));
      it->second = operand->data();
      memory.push_back(std::move(operand));
    }
    return Tensor{.data = it->second,
                  .dtype = buffer.dtype,
                  .dims = buffer.dims,
                  .rank = buffer.rank,
                  .stride = buffer.row_stride};
  };
  for (size_t i = 0; i < static_cast<size_t>(op.input_count); ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(call.inputs[i], place(op.inputs[i]));
  }
  for (size_t i = 0; i < static_cast<size_t>(op.output_count); ++i) {
    TUNESMITH_ASSIGN_OR_RETURN(call.outputs[i], place(op.outputs[i]));
  }
  return call;
}

// The planner prices a scatter into a table without knowing its tokens, as if each named another row. Here every row that the tokens name is read and written once.
double EmbeddingBackwardBytes(const Program& program, const planner::Op& op, Patterns& patterns) {
  const auto bytes_of = [&](BufferRef ref) {
    return static_cast<double>(
        planner::InstanceBytes(program.buffers[static_cast<size_t>(ref.buffer)]));
  };
  const std::vector<std::byte>& pattern = PatternOf(patterns, program, op.inputs[0].buffer);
  std::vector<int32_t> tokens(pattern.size() / sizeof(int32_t));
  std::memcpy(tokens.data(), pattern.data(), tokens.size() * sizeof(int32_t));
  const auto named = static_cast<double>(std::set<int32_t>(tokens.begin(), tokens.end()).size());
  const planner::Buffer& table = program.buffers[static_cast<size_t>(op.outputs[0].buffer)];
  const double table_bytes = bytes_of(op.outputs[0]);
  const double cleared = op.attributes.accumulate ? 0.0 : table_bytes;
  return bytes_of(op.inputs[0]) + bytes_of(op.inputs[1]) + cleared +
         2.0 * named * table_bytes / static_cast<double>(table.dims[0]);
}

}  // namespace

absl::StatusOr<OpCase> OpCase::Create(const Program& program, const planner::Op& op,
                                      const OpContext& context, int64_t rotated_bytes) {
  OpCase result;
  Patterns patterns;
  result.cost_ = planner::CostOf(program, op, op.attributes.accumulate);
  if (op.kind == planner::OpKind::kEmbeddingBackward)
    result.cost_.bytes = EmbeddingBackwardBytes(program, op, patterns);
  int64_t placed_bytes = 0;
  do {
    TUNESMITH_ASSIGN_OR_RETURN(const OpCall call,
                               PlaceOperands(program, op, context, patterns, result.memory_));
    result.calls_.push_back(call);
    placed_bytes = 0;
    for (const auto& memory : result.memory_) placed_bytes += memory->size_bytes();
  } while (placed_bytes < rotated_bytes && result.set_count() < kMaxSets);
  return result;
}

std::string OpCase::ShapeText() const {
  std::string text;
  for (int i = 0; i < call().input_count; ++i) {
    text += StrCat(i == 0 ? "" : ", ", TensorText(call().inputs[static_cast<size_t>(i)]));
  }
  for (int i = 0; i < call().output_count; ++i) {
    text += StrCat(i == 0 ? " -> " : ", ", TensorText(call().outputs[static_cast<size_t>(i)]));
  }
  return text;
}

}  // namespace tunesmith::trainer
