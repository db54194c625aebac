#include "planner/program/decoder_layer.h"

#include <algorithm>
#include <cmath>

#include "common/units.h"
#include "planner/program/attention_workspace.h"

namespace tunesmith::planner {
namespace {

class LayerBuilder {
 public:
  LayerBuilder(const Program& program, const ModelParameters& parameters,
               const LayerBindings& bindings)
      : inputs_(program.inputs),
        model_(program.inputs.model),
        parameters_(parameters),
        bindings_(bindings),
        graph_(program) {}

  ForwardGraph Build() {
    const ValueId x = graph_.Bind("block_input", bindings_.input, bindings_.input_gradient);
    const ValueId attended = Attention(graph_.RmsNorm(
        "attention_norm", x, graph_.Weight(parameters_.attention_norm), model_.norm_epsilon));
    const ValueId middle = Project("middle", attended, kProjectionO, Role::kOther, x);
    const ValueId normed = graph_.RmsNorm("mlp_norm", middle, graph_.Weight(parameters_.mlp_norm),
                                          model_.norm_epsilon);
    if (TileRowCount(middle) < RowCount(middle)) {
      TiledMlp(normed, middle);
    } else {
      graph_.BindOutput(Mlp(normed, middle), bindings_.output, bindings_.output_gradient);
    }
    return std::move(graph_);
  }

 private:
  int64_t RowCount(ValueId matrix) const { return graph_.value(matrix).shape.dims[0]; }
  int64_t TileRowCount(ValueId matrix) const {
    return CeilDivide(RowCount(matrix), inputs_.mix.mlp_tile_count);
  }

  ValueId Mlp(ValueId normed, ValueId residual) {
    const ValueId gate = Project("gate", normed, kProjectionGate, Role::kGateUp);
    const ValueId up = Project("up", normed, kProjectionUp, Role::kGateUp);
    const ValueId product = graph_.SwiGlu("product", gate, up);
    return Project("block_output", product, kProjectionDown, Role::kOther, residual);
  }

  // The MLP of some tokens at a time. What it forms is recomputed tile by tile in backward, so that only one tile's is ever held.
  void TiledMlp(ValueId normed, ValueId residual) {
    const Value middle = graph_.value(residual);
    const ValueId output = graph_.AddValue("block_output", middle.dtype, middle.shape);
    graph_.BindOutput(output, bindings_.output, bindings_.output_gradient);
    graph_.set_transient(true);
    const int64_t rows = RowCount(residual), tile = TileRowCount(residual);
    for (int64_t begin = 0; begin < rows; begin += tile) {
      const int64_t count = std::min(tile, rows - begin);
      const ValueId part =
          Mlp(graph_.Rows(normed, begin, count), graph_.Rows(residual, begin, count));
      graph_.BindToRows(part, output, begin);
    }
    graph_.set_transient(false);
  }

  // y = x W^T (+ bias) (+ addend) (+ alpha/r (x A^T) B^T), the adapter added in place.
  ValueId Project(Name name, ValueId x, int projection, Role role, ValueId addend = kNoValue) {
    const size_t i = static_cast<size_t>(projection);
    const ValueId w = graph_.Weight(parameters_.weight[i]);
    const bool adapted = parameters_.lora_a[i] >= 0;
    const Name base_name = adapted ? name.With("_base") : name;
    const ValueId base =
        parameters_.bias[i] >= 0
            ? graph_.LinearBias(base_name, x, w, graph_.Weight(parameters_.bias[i]), role)
            : graph_.Linear(base_name, x, w, role, 1.0, addend);
    if (!adapted) return base;
    const ValueId low = graph_.Linear(name.With("_low_rank"), x,
                                      graph_.Weight(parameters_.lora_a[i]), Role::kOther);
    const LoraSpec& lora = inputs_.mix.lora;
    return graph_.Linear(name, low, graph_.Weight(parameters_.lora_b[i]), role,
                         lora.alpha / static_cast<double>(lora.rank), base,
                         /*in_place=*/true);
  }

  ValueId Attention(ValueId normed) {
    const ValueId positions = graph_.Bind("positions", bindings_.positions);
    const ValueId q = graph_.Rope("q", Project("q_raw", normed, kProjectionQ, Role::kOther),
                                  positions, model_.head_count, model_);
    const ValueId k = graph_.Rope("k", Project("k_raw", normed, kProjectionK, Role::kOther),
                                  positions, model_.kv_head_count, model_);
    const ValueId v = Project("v", normed, kProjectionV, Role::kOther);
    const OpAttributes attributes{.scale = 1.0 / std::sqrt(static_cast<double>(model_.head_size)),
                                  .head_count = model_.head_count,
                                  .kv_head_count = model_.kv_head_count,
                                  .head_size = model_.head_size,
                                  .context = inputs_.workload.context,
                                  .window = model_.sliding_window};
    const ValueId o = graph_.AddValue("attended", graph_.value(q).dtype, graph_.value(q).shape);
    if (bindings_.key_cache.buffer >= 0) {
      Decode(q, k, v, positions, o, attributes);
    } else {
      Attend(q, k, v, o, attributes);
    }
    return o;
  }

  void Attend(ValueId q, ValueId k, ValueId v, ValueId o, const OpAttributes& attributes) {
    const ValueId documents = graph_.Bind("document_starts", bindings_.document_starts);
    const int64_t rows = graph_.value(q).shape.dims[0],
                  heads = rows / attributes.context * attributes.head_count;
    if (inputs_.mix.attention == AttentionKernel::kEager) {
      const ValueId p = graph_.AddValue("probabilities", graph_.value(q).dtype,
                                        Cube(heads, attributes.context, attributes.context));
      graph_.AddOp(OpKind::kAttention, attributes, {q, k, v, documents}, {o, p});
      return;
    }
    const ValueId lse =
        graph_.AddValue("log_sum_exp", StatisticDType(inputs_), Matrix(heads, attributes.context));
    const ValueId scratch =
        graph_.AddValue("attention_workspace", StatisticDType(inputs_), FlashWorkspace(attributes),
                        Role::kOther, MemoryClass::kWorkspace);
    graph_.AddOp(OpKind::kFlashAttention, attributes, {q, k, v, documents}, {o, lse, scratch});
  }

  void Decode(ValueId q, ValueId k, ValueId v, ValueId positions, ValueId o,
              const OpAttributes& attributes) {
    const ValueId keys = Append("key_cache", k, positions, bindings_.key_cache);
    const ValueId values = Append("value_cache", v, positions, bindings_.value_cache);
    const ValueId scores = graph_.AddValue("scores", StatisticDType(inputs_),
                                           Matrix(attributes.head_count, attributes.context));
    graph_.AddOp(OpKind::kDecodeAttention, attributes, {q, keys, values, positions}, {o, scores});
  }

  ValueId Append(Name name, ValueId x, ValueId positions, BufferRef cache) {
    const Buffer& buffer = graph_.program().buffers[static_cast<size_t>(cache.buffer)];
    const ValueId appended =
        graph_.AddValue(name, buffer.dtype, {.dims = buffer.dims, .rank = buffer.rank});
    graph_.BindOutput(appended, cache);
    graph_.AddOp(OpKind::kCacheAppend, {}, {x, positions}, {appended});
    return appended;
  }

  const ProgramInputs& inputs_;
  const ModelSpec& model_;
  const ModelParameters& parameters_;
  const LayerBindings& bindings_;
  ForwardGraph graph_;
};

}  // namespace

ForwardGraph DecoderLayer(const Program& program, const ModelParameters& parameters,
                          const LayerBindings& bindings) {
  return LayerBuilder(program, parameters, bindings).Build();
}

}  // namespace tunesmith::planner
