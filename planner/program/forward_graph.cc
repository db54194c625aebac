#include "planner/program/forward_graph.h"

#include <cassert>
#include <utility>

#include "common/units.h"

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
  const Buffer& b = program_.buffers[static_cast<size_t>(p.weight)];
  id = AddValue(b.name, b.dtype, {.dims = b.dims, .rank = b.rank});
  mutable_value(id).bound = {.buffer = p.weight};
  mutable_value(id).parameter = parameter;
  mutable_value(id).needs_gradient = p.trainable;
  return id;
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

ValueId ForwardGraph::LinearBias(Name name, ValueId x, ValueId w, ValueId bias, Role role) {
  const ValueId y =
      AddValue(name, value(x).dtype, Matrix(RowCount(x), value(w).shape.dims[0]), role);
  AddOp(OpKind::kLinearBias, {}, {x, w, bias}, {y});
  return y;
}

ValueId ForwardGraph::RmsNorm(Name name, ValueId x, ValueId w, double epsilon) {
  const DType statistic = value(x).dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  const ValueId y = AddValue(name, value(x).dtype, value(x).shape, Role::kNorm);
  const ValueId rstd = AddValue(name.With("_rstd"), statistic, Vector(RowCount(x)), Role::kNorm);
  AddOp(OpKind::kRmsNorm, {.epsilon = epsilon}, {x, w}, {y, rstd});
  return y;
}

ValueId ForwardGraph::Rope(Name name, ValueId x, ValueId positions, int64_t head_count,
                           const ModelSpec& model) {
  const ValueId y = AddValue(name, value(x).dtype, value(x).shape);
  mutable_value(y).storage = value(x).storage;
  AddOp(OpKind::kRope,
        {.head_count = head_count,
         .head_size = model.head_size,
         .rope_theta = model.rope_theta,
         .rope_scaling = model.rope_scaling},
        {x, positions}, {y});
  return y;
}

ValueId ForwardGraph::SwiGlu(Name name, ValueId gate, ValueId up) {
  const ValueId y = AddValue(name, value(gate).dtype, value(gate).shape, Role::kProduct);
  AddOp(OpKind::kSwiGlu, {}, {gate, up}, {y});
  return y;
}

ValueId ForwardGraph::Embedding(Name name, ValueId tokens, ValueId w) {
  const ValueId y =
      AddValue(name, value(w).dtype, Matrix(RowCount(tokens), value(w).shape.dims[1]));
  AddOp(OpKind::kEmbedding, {}, {tokens, w}, {y});
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
  const Value& whole = value(matrix);
  assert(whole.shape.rank == 2 && begin + count <= whole.shape.dims[0]);
  const bool needs_gradient = whole.needs_gradient;
  const ValueId id = AddValue(whole.name.With("_rows"), whole.dtype,
                              Matrix(count, whole.shape.dims[1]), whole.role, whole.memory_class);
  mutable_value(id).rows_of = matrix;
  mutable_value(id).row_begin = begin;
  mutable_value(id).needs_gradient = needs_gradient;
  return id;
}

void ForwardGraph::BindToRows(ValueId id, ValueId matrix, int64_t begin) {
  for (Value& v : values_) {
    if (v.storage != value(id).storage) continue;
    v.rows_of = matrix;
    v.row_begin = begin;
  }
  mutable_value(matrix).needs_gradient |= value(id).needs_gradient;
}

}  // namespace tunesmith::planner
