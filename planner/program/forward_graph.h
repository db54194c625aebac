#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "planner/program/layer_parameters.h"
#include "planner/program/program.h"

// The forward pass of one block as a small graph of values, written once by a builder; everything else (what is saved, what is recomputed,
// the backward ops) is derived from it.
namespace tunesmith::planner {

using ValueId = int32_t;
inline constexpr ValueId kNoValue = -1;
using ValueIds = absl::InlinedVector<ValueId, 4>;

// What a recompute rung decides about a value by.
enum class Role : uint8_t { kOther, kProduct, kNorm, kGateUp };

struct Shape {
  std::array<int64_t, 3> dims = {1, 1, 1};
  int rank = 1;
};
Shape Vector(int64_t n);
Shape Matrix(int64_t rows, int64_t columns);
Shape Cube(int64_t a, int64_t b, int64_t c);

struct Value {
  Name name;
  DType dtype = DType::kF32;
  Shape shape = {};
  Role role = Role::kOther;
  MemoryClass memory_class = MemoryClass::kActivations;
  bool needs_gradient = false;
  int32_t storage =
      -1;  // values of one storage share memory: a later one overwrites an earlier one in place
  int32_t producer = -1;   // index of the op that writes it; -1: it exists before the block runs
  int32_t parameter = -1;  // index into Program::parameters when the value is a weight
  BufferRef bound = {};    // where it lives when that is not for the block to decide (buffer >= 0)
  BufferRef bound_gradient = {};  // where its gradient lives, likewise
  // Some rows, or some columns, of another value, in that value's memory: from its element `part_first`, rows `row_stride` elements apart (Buffer).
  ValueId part_of = kNoValue;
  int64_t part_first = 0;
  int64_t row_stride = 0;
  bool transient = false;  // never saved for backward
  bool fleeting = false;   // formed anew for every op that reads it: large, and cheap to form
  bool output = false;     // of the block: its gradient is there when the block's backward starts
};

// With the padding that keeps the next buffer aligned.
int64_t AlignedBytes(const Value& value);

struct ForwardOp {
  OpKind kind = OpKind::kClear;
  OpAttributes attributes = {};
  ValueIds inputs = {};
  ValueIds outputs = {};
};

class ForwardGraph {
 public:
  // `program` must outlive the graph; parameters and bound buffers are looked up there.
  explicit ForwardGraph(const Program& program)
      : program_(program), weights_(program.parameters.size(), kNoValue) {
    values_.reserve(160);
    ops_.reserve(80);
  }

  // A value that lives in an existing buffer. `gradient.buffer` >= 0 says that a gradient is wanted and where it goes.
  ValueId Bind(Name name, BufferRef buffer, BufferRef gradient = {});
  // The same value for every use, so that its gradients are summed; a quantized weight is dequantized for every use.
  ValueId Weight(int32_t parameter);
  // Rows of a weight, likewise; the weight itself where these are all.
  ValueId WeightRows(int32_t parameter, int64_t begin, int64_t count);
  // The parameters of a stack, likewise, as one matrix. REQUIRES: no other use of them.
  ValueId StackedWeights(const WeightStack& stack);

  // y = scale * x w^T (+ addend). `in_place`: y overwrites addend.
  ValueId Linear(Name name, ValueId x, ValueId w, Role role, double scale = 1.0,
                 ValueId addend = kNoValue, bool in_place = false);
  ValueId LinearWithoutGradient(Name name, ValueId x, ValueId w);
  ValueId LinearBias(Name name, ValueId x, ValueId w, ValueId bias, Role role,
                     ValueId addend = kNoValue);
  // The model's norm, with the parameters of one of its norms.
  ValueId Norm(Name name, ValueId x, const NormParameters& norm, const ModelSpec& model);
  // Of each head by itself.
  ValueId RmsNorm(Name name, ValueId x, int32_t weight, const ModelSpec& model);
  ValueId Rope(Name name, ValueId x, ValueId positions, int64_t head_count, const ModelSpec& model);
  ValueId SwiGlu(Name name, ValueId gate, ValueId up, Activation activation);
  ValueId Activate(Name name, ValueId x, Activation activation);
  // x with a share of it dropped; never saved.
  ValueId Dropout(Name name, ValueId x, ValueId key, const OpAttributes& attributes);
  // x + z, in the storage of z.
  ValueId Sum(Name name, ValueId x, ValueId z);
  ValueId Embedding(Name name, ValueId tokens, ValueId w, double scale = 1.0);
  // sum + the rows of w that `tokens` names, in the storage of sum.
  ValueId AddEmbedding(Name name, ValueId tokens, ValueId w, ValueId sum);

  // A matrix of the tokens that a rank has, with `width` elements of a token for each rank of the micro-batch, as one of all tokens with the rank's own; and back.
  ValueId ToHeads(Name name, ValueId x, int64_t width);
  ValueId ToTokens(Name name, ValueId x);

  // Any other op; outputs are given by AddValue. Inputs' needs_gradient passes to the first output unless `differentiable` is false.
  ValueId AddValue(Name name, DType dtype, Shape shape, Role role = Role::kOther,
                   MemoryClass memory_class = MemoryClass::kActivations);
  void AddOp(OpKind kind, const OpAttributes& attributes, ValueIds inputs, ValueIds outputs);

  // Makes a produced value live in `buffer`, its gradient (already complete when the block's backward starts) in `gradient`.
  void BindOutput(ValueId value, BufferRef buffer, BufferRef gradient = {});

  // The first elements of a matrix, read as a matrix of this shape.
  ValueId Part(ValueId matrix, Shape shape);
  // Rows [begin, begin + count) of a matrix, to be read; columns, the same value for every use.
  ValueId Rows(ValueId matrix, int64_t begin, int64_t count);
  ValueId Columns(ValueId matrix, int64_t begin, int64_t count);
  // Makes a produced value live in the rows of `matrix` from `begin`.
  void BindToRows(ValueId value, ValueId matrix, int64_t begin);
  // Values that are added while this is on are never saved for backward.
  void set_transient(bool transient) { transient_ = transient; }

  const Value& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  const std::vector<Value>& values() const { return values_; }
  const std::vector<ForwardOp>& ops() const { return ops_; }
  const Program& program() const { return program_; }

 private:
  Value& mutable_value(ValueId id) { return values_[static_cast<size_t>(id)]; }
  ValueId Dequantized(const Parameter& parameter);
  ValueId WholeOfRows(int32_t parameter, int64_t count);
  ValueId FindPart(ValueId whole, int64_t first) const;
  int64_t RowCount(ValueId x) const { return value(x).shape.dims[0]; }
  DType StatisticOf(ValueId x) const;
  ValueId AllToAll(Name name, ValueId x);
  int32_t SequenceParallel() const {
    return static_cast<int32_t>(program_.inputs.mix.sequence_parallel);
  }

  const Program& program_;
  std::vector<Value> values_;
  std::vector<ValueId> weights_;  // by parameter
  std::vector<ForwardOp> ops_;
  int32_t storage_count_ = 0;
  bool transient_ = false;
};

}  // namespace tunesmith::planner
