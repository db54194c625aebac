#include "planner/program/forward_graph.h"

#include <cassert>
#include <utility>

#include "common/units.h"
#include "planner/program/layer_parameters.h"

namespace tunesmith::planner {

Shape Vector(int64_t n) { return {.dims = {n, 1, 1}, .rank = 1}; }
Shape Matrix(int64_t rows, int64_t columns) { return {.dims = {rows, columns, 1}, .rank = 2}; }
Shape Cube(int64_t a, int64_t b, int64_t c) { return {.dims = {a, b, c}, .rank = 3}; }

int64_t AlignedBytes(const Value& value) {
  const auto& dims = value.shape.dims;
  return AlignUp(dims[0] * dims[1] * dims[2] * SizeOf(value.dtype), kBufferAlignmentBytes);
}

ValueId ForwardGraph::AddValue(Name name, DType dtype, Shape shape, Role role,
                               MemoryClass memory_class) {
  values_.push_back({.name = name,
                     .dtype = dtype,
                     .shape = shape,
                     .role = role,
                     .memory_class = memory_class,
                     .storage = storage_count_++,
                     .transient = transient_});
  return static_cast<ValueId>(values_.size()) - 1;
}

DType ForwardGraph::StatisticOf(ValueId x) const {
  return value(x).dtype == DType::kF64 ? DType::kF64 : DType::kF32;
}

ValueId ForwardGraph::Bind(Name name, BufferRef buffer, BufferRef gradient) {
  const Buffer& b = program_.buffers[static_cast<size_t>(buffer.buffer)];
  const ValueId id = AddValue(name, b.dtype, {.dims = b.dims, .rank = b.rank});
  mutable_value(id).bound = buffer;
  mutable_value(id).bound_gradient = gradient;
  mutable_value(id).needs_gradient = gradient.buffer >= 0;
  return id;
}

ValueId ForwardGraph::Weight(int32_t parameter) {
  ValueId& id = weights_[static_cast<size_t>(parameter)];
  if (id != kNoValue) return id;
  const Parameter& p = program_.parameters[static_cast<size_t>(parameter)];
  if (p.absmax >= 0) return Dequantized(p);
  const Buffer& b = program_.buffers[static_cast<size_t>(p.weight)];
  id = AddValue(b.name, b.dtype, {.dims = b.dims, .rank = b.rank});
  mutable_value(id).bound = {.buffer = p.weight};
  mutable_value(id).parameter = parameter;
  mutable_value(id).needs_gradient = p.trainable;
  return id;
}

ValueId ForwardGraph::StackedWeights(const WeightStack& stack) {
  ValueId& id = weights_[static_cast<size_t>(stack.parameters[0])];
  if (id != kNoValue) return id;
  const Buffer& b = program_.buffers[static_cast<size_t>(stack.weight)];
  id = AddValue(b.name, b.dtype, {.dims = b.dims, .rank = b.rank});
  mutable_value(id).bound = {.buffer = stack.weight};
  mutable_value(id).bound_gradient = {.buffer = stack.gradient};
  mutable_value(id).parameter = stack.parameters[0];
  mutable_value(id).needs_gradient = stack.gradient >= 0;
  return id;
}

ValueId ForwardGraph::Dequantized(const Parameter& p) {
  const Buffer& codes = program_.buffers[static_cast<size_t>(p.weight)];
  ValueIds inputs = {Bind(codes.name, {.buffer = p.weight})};
  for (int32_t buffer : {p.absmax, p.absmax_scale, p.absmax_offset}) {
    if (buffer >= 0) inputs.push_back(Bind("absmax", {.buffer = buffer}));
  }
  const ValueId y =
      AddValue("dequantized_weight", ComputeDType(program_.inputs),
               Matrix(codes.dims[0], 2 * codes.dims[1]), Role::kOther, MemoryClass::kWorkspace);
  mutable_value(y).transient = mutable_value(y).fleeting = true;
  AddOp(OpKind::kDequantizeNf4, {}, std::move(inputs), {y});
  return y;
}

void ForwardGraph::AddOp(OpKind kind, const OpAttributes& attributes, ValueIds inputs,
                         ValueIds outputs) {
  assert(!outputs.empty() && inputs.size() <= kMaxOpInputs && outputs.size() <= kMaxOpOutputs);
  bool needs_gradient = false;
  for (ValueId input : inputs) needs_gradient |= value(input).needs_gradient;
  for (ValueId output : outputs) mutable_value(output).producer = static_cast<int32_t>(ops_.size());
  mutable_value(outputs[0]).needs_gradient = needs_gradient;
  ops_.push_back({.kind = kind,
                  .attributes = attributes,
                  .inputs = std::move(inputs),
                  .outputs = std::move(outputs)});
}

ValueId ForwardGraph::Linear(Name name, ValueId x, ValueId w, Role role, double scale,
                             ValueId addend, bool in_place) {
  const ValueId y =
      AddValue(name, value(x).dtype, Matrix(RowCount(x), value(w).shape.dims[0]), role);
  ValueIds inputs = {x, w};
  if (addend != kNoValue) inputs.push_back(addend);
  if (in_place) mutable_value(y).storage = value(addend).storage;
  AddOp(OpKind::kLinear, {.scale = scale}, std::move(inputs), {y});
  return y;
}

ValueId ForwardGraph::LinearWithoutGradient(Name name, ValueId x, ValueId w) {
  const ValueId y = Linear(name, x, w, Role::kOther);
  mutable_value(y).needs_gradient = false;
  return y;
}

ValueId ForwardGraph::LinearBias(Name name, ValueId x, ValueId w, ValueId bias, Role role,
                                 ValueId addend) {
  const ValueId y =
      AddValue(name, value(x).dtype, Matrix(RowCount(x), value(w).shape.dims[0]), role);
  ValueIds inputs = {x, w, bias};
  if (addend != kNoValue) inputs.push_back(addend);
  AddOp(OpKind::kLinearBias, {}, std::move(inputs), {y});
  return y;
}

ValueId ForwardGraph::Norm(Name name, ValueId x, const NormParameters& norm,
                           const ModelSpec& model) {
  if (model.norm == NormKind::kRms) return RmsNorm(name, x, norm.weight, model);
  const ValueId y = AddValue(name, value(x).dtype, value(x).shape, Role::kNorm);
  const Shape shape = Vector(RowCount(x));
  const ValueId mean = AddValue(name.With("_mean"), StatisticOf(x), shape, Role::kNorm);
  const ValueId rstd = AddValue(name.With("_rstd"), StatisticOf(x), shape, Role::kNorm);
  ValueIds inputs = {x, Weight(norm.weight)};
  if (norm.bias >= 0) inputs.push_back(Weight(norm.bias));
  AddOp(OpKind::kLayerNorm, {.epsilon = model.norm_epsilon}, std::move(inputs), {y, mean, rstd});
  return y;
}

ValueId ForwardGraph::RmsNorm(Name name, ValueId x, int32_t weight, const ModelSpec& model) {
  const ValueId w = Weight(weight);
  const int64_t parts = value(x).shape.dims[1] / value(w).shape.dims[0];
  const ValueId y = AddValue(name, value(x).dtype, value(x).shape, Role::kNorm);
  const ValueId rstd =
      AddValue(name.With("_rstd"), StatisticOf(x), Vector(RowCount(x) * parts), Role::kNorm);
  AddOp(OpKind::kRmsNorm,
        {.epsilon = model.norm_epsilon, .weight_offset = model.norm_adds_one ? 1.0 : 0.0}, {x, w},
        {y, rstd});
  return y;
}

ValueId ForwardGraph::Rope(Name name, ValueId x, ValueId positions, int64_t head_count,
                           const ModelSpec& model) {
  const ValueId y = AddValue(name, value(x).dtype, value(x).shape);
  mutable_value(y).storage = value(x).storage;
  const bool by_context = model.rope_scaling.kind == RopeScalingKind::kLongRope;
  AddOp(OpKind::kRope,
        {.head_count = head_count,
         .head_size = model.head_size,
         .context = by_context ? program_.inputs.workload.context : 0},
        {x, positions}, {y});
  return y;
}

ValueId ForwardGraph::SwiGlu(Name name, ValueId gate, ValueId up, Activation activation) {
  const ValueId y = AddValue(name, value(gate).dtype, value(gate).shape, Role::kProduct);
  AddOp(OpKind::kSwiGlu, {.activation = activation}, {gate, up}, {y});
  return y;
}

ValueId ForwardGraph::Activate(Name name, ValueId x, Activation activation) {
  const ValueId y = AddValue(name, value(x).dtype, value(x).shape, Role::kProduct);
  AddOp(OpKind::kActivation, {.activation = activation}, {x}, {y});
  return y;
}

ValueId ForwardGraph::Dropout(Name name, ValueId x, ValueId key, const OpAttributes& attributes) {
  const ValueId y = AddValue(name, value(x).dtype, value(x).shape);
  mutable_value(y).transient = true;
  AddOp(OpKind::kDropout, attributes, {x, key}, {y});
  return y;
}

ValueId ForwardGraph::Sum(Name name, ValueId x, ValueId z) {
  const ValueId y = AddValue(name, value(z).dtype, value(z).shape);
  mutable_value(y).storage = value(z).storage;
  AddOp(OpKind::kSum, {}, {x, z}, {y});
  return y;
}

ValueId ForwardGraph::Embedding(Name name, ValueId tokens, ValueId w, double scale) {
  const ValueId y =
      AddValue(name, value(w).dtype, Matrix(RowCount(tokens), value(w).shape.dims[1]));
  AddOp(OpKind::kEmbedding, {.scale = scale}, {tokens, w}, {y});
  return y;
}

ValueId ForwardGraph::AddEmbedding(Name name, ValueId tokens, ValueId w, ValueId sum) {
  const ValueId y = AddValue(name, value(sum).dtype, value(sum).shape);
  mutable_value(y).storage = value(sum).storage;
  AddOp(OpKind::kEmbedding, {.accumulate = true}, {tokens, w, sum}, {y});
  return y;
}

ValueId ForwardGraph::AllToAll(Name name, ValueId x) {
  const ValueId y = AddValue(name, value(x).dtype, value(x).shape);
  AddOp(OpKind::kAllToAll, {.sequence_parallel = SequenceParallel()}, {x}, {y});
  return y;
}

ValueId ForwardGraph::ToHeads(Name name, ValueId x, int64_t width) {
  const ValueId parts = AddValue(name.With("_parts"), value(x).dtype,
                                 Matrix(SequenceParallel() * RowCount(x), width));
  AddOp(OpKind::kSplitColumns, {.sequence_parallel = SequenceParallel()}, {x}, {parts});
  return AllToAll(name, parts);
}

ValueId ForwardGraph::ToTokens(Name name, ValueId x) {
  const int32_t ranks = SequenceParallel();
  const ValueId parts = AllToAll(name.With("_parts"), x);
  const ValueId y =
      AddValue(name, value(x).dtype, Matrix(RowCount(x) / ranks, value(x).shape.dims[1] * ranks));
  AddOp(OpKind::kJoinColumns, {.sequence_parallel = ranks}, {parts}, {y});
  return y;
}

void ForwardGraph::BindOutput(ValueId id, BufferRef buffer, BufferRef gradient) {
  // Earlier values of the storage are overwritten there in place.
  for (Value& v : values_) {
    if (v.storage == value(id).storage) v.bound = buffer;
  }
  mutable_value(id).bound_gradient = gradient;
  mutable_value(id).output = true;
}

ValueId ForwardGraph::Rows(ValueId matrix, int64_t begin, int64_t count) {
  assert(value(matrix).shape.rank <= 2 && begin + count <= RowCount(matrix));
  Shape shape = value(matrix).shape;
  shape.dims[0] = count;
  const ValueId id = Part(matrix, shape);
  mutable_value(id).part_first = begin * shape.dims[1];
  return id;
}

ValueId ForwardGraph::Columns(ValueId matrix, int64_t begin, int64_t count) {
  const Shape whole = value(matrix).shape;
  assert(whole.rank == 2 && begin + count <= whole.dims[1]);
  if (const ValueId known = FindPart(matrix, begin); known != kNoValue) return known;
  const ValueId id = Part(matrix, Matrix(whole.dims[0], count));
  mutable_value(id).part_first = begin;
  mutable_value(id).row_stride = whole.dims[1];
  return id;
}

ValueId ForwardGraph::Part(ValueId matrix, Shape shape) {
  const Value whole = value(matrix);
  const ValueId id =
      AddValue(whole.name.With("_part"), whole.dtype, shape, whole.role, whole.memory_class);
  mutable_value(id).part_of = matrix;
  mutable_value(id).needs_gradient = whole.needs_gradient;
  return id;
}

// Projections that share a quantized weight share one that is dequantized.
ValueId ForwardGraph::WholeOfRows(int32_t parameter, int64_t count) {
  const Parameter& p = program_.parameters[static_cast<size_t>(parameter)];
  const Buffer& codes = program_.buffers[static_cast<size_t>(p.weight)];
  if (p.absmax < 0 || count == codes.dims[0]) return Weight(parameter);
  ValueId& whole = weights_[static_cast<size_t>(parameter)];
  if (whole == kNoValue) whole = Dequantized(p);
  return whole;
}

ValueId ForwardGraph::FindPart(ValueId whole, int64_t first) const {
  for (size_t i = 0; i < values_.size(); ++i) {
    if (values_[i].part_of == whole && values_[i].part_first == first)
      return static_cast<ValueId>(i);
  }
  return kNoValue;
}

ValueId ForwardGraph::WeightRows(int32_t parameter, int64_t begin, int64_t count) {
  const ValueId whole = WholeOfRows(parameter, count);
  if (count == RowCount(whole)) return whole;
  const ValueId known = FindPart(whole, begin * value(whole).shape.dims[1]);
  return known != kNoValue ? known : Rows(whole, begin, count);
}

void ForwardGraph::BindToRows(ValueId id, ValueId matrix, int64_t begin) {
  for (Value& v : values_) {
    if (v.storage != value(id).storage) continue;
    v.part_of = matrix;
    v.part_first = begin * value(matrix).shape.dims[1];
  }
  mutable_value(matrix).needs_gradient |= value(id).needs_gradient;
}

}  // namespace tunesmith::planner
