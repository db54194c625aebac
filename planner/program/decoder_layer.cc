#include "planner/program/decoder_layer.h"

#include <algorithm>
#include <vector>

#include "common/units.h"
#include "planner/program/attention_workspace.h"

namespace tunesmith::planner {
namespace {

// Of so many heads, those of each rank.
int64_t HeadsOfOne(int64_t head_count, int64_t rank_count) {
  return std::max<int64_t>(1, head_count / rank_count);
}

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
    // Norms of the block's input come before anything is added to it: their gradients are then the last that is added to its own.
    const ValueId attention_input = Norm("attention_norm", x, parameters_.attention_norm);
    const bool parallel = model_.parallel_blocks;
    const ValueId mlp_input = !parallel            ? kNoValue
                              : model_.shared_norm ? attention_input
                                                   : Norm("mlp_norm", x, parameters_.mlp_norm);
    const ValueId middle =
        Add("middle", Attention(attention_input), kProjectionO, parameters_.attention_post_norm, x);
    AddMlp(parallel ? mlp_input : Norm("mlp_norm", middle, parameters_.mlp_norm), middle);
    return std::move(graph_);
  }

 private:
  int64_t RowCount(ValueId matrix) const { return graph_.value(matrix).shape.dims[0]; }
  int64_t TileRowCount(ValueId matrix) const {
    return CeilDivide(RowCount(matrix), inputs_.mix.mlp_tile_count);
  }

  ValueId Norm(Name name, ValueId x, const NormParameters& norm) {
    return graph_.Norm(name, x, norm, model_);
  }

  // residual + [norm of] the projection of x.
  ValueId Add(Name name, ValueId x, int projection, const NormParameters& post_norm,
              ValueId residual) {
    if (post_norm.weight < 0) return Project(name, x, projection, Role::kOther, residual);
    const ValueId y = Project(name.With("_before_norm"), x, projection, Role::kOther);
    return graph_.Sum(name, residual, Norm(name.With("_normed"), y, post_norm));
  }

  void AddMlp(ValueId normed, ValueId residual) {
    if (TileRowCount(residual) < RowCount(residual)) {
      TiledMlp(normed, residual);
    } else {
      graph_.BindOutput(Mlp(normed, residual), bindings_.output, bindings_.output_gradient);
    }
  }

  ValueId Mlp(ValueId normed, ValueId residual) {
    if (parameters_.router >= 0) Route(normed);
    return Add("block_output", Inner(normed), kProjectionDown, parameters_.mlp_post_norm, residual);
  }

  ValueId Inner(ValueId normed) {
    const Activation activation = model_.activation;
    if (model_.plain_mlp)
      return graph_.Activate("product", Project("up", normed, kProjectionUp, Role::kGateUp),
                             activation);
    if (parameters_.gate_up.exist()) {
      const int64_t width = model_.intermediate_size;
      const ValueId both = Fused("gate_up", normed, parameters_.gate_up, Role::kGateUp);
      return graph_.SwiGlu("product", graph_.Columns(both, 0, width),
                           graph_.Columns(both, width, width), activation);
    }
    const ValueId gate = Project("gate", normed, kProjectionGate, Role::kGateUp);
    const ValueId up = Project("up", normed, kProjectionUp, Role::kGateUp);
    return graph_.SwiGlu("product", gate, up, activation);
  }

  // All the projections at once, side by side.
  ValueId Fused(Name name, ValueId x, const FusedParameters& p, Role role) {
    const auto of = [this](int32_t parameter, int32_t stack) {
      return stack < 0 ? graph_.Weight(parameter)
                       : graph_.StackedWeights(graph_.program().stacks[static_cast<size_t>(stack)]);
    };
    const ValueId w = of(p.weight, p.weight_stack);
    return p.has_bias() ? graph_.LinearBias(name, x, w, of(p.bias, p.bias_stack), role)
                        : graph_.Linear(name, x, w, role);
  }

  // What chooses the experts costs its product; the choice itself is not planned, and nothing is differentiated through it.
  void Route(ValueId normed) {
    graph_.LinearWithoutGradient("router_logits", normed, graph_.Weight(parameters_.router));
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
      tile_begin_ = begin;
      const ValueId part =
          Mlp(graph_.Rows(normed, begin, count), graph_.Rows(residual, begin, count));
      graph_.BindToRows(part, output, begin);
    }
    graph_.set_transient(false);
  }

  // y = x W^T (+ bias) (+ addend) (+ alpha/r (x A^T) B^T), the adapter added in place.
  ValueId Project(Name name, ValueId x, int projection, Role role, ValueId addend = kNoValue) {
    const ProjectionParameters& p = parameters_.projections[static_cast<size_t>(projection)];
    const auto rows = [&](int32_t parameter) {
      return graph_.WeightRows(parameter, p.first_row, p.row_count);
    };
    const bool adapted = p.lora_a >= 0;
    const Name base_name = adapted ? name.With("_base") : name;
    const ValueId w = ActiveWeight(projection, rows(p.weight));
    const ValueId base = p.bias >= 0
                             ? graph_.LinearBias(base_name, x, w, rows(p.bias), role, addend)
                             : graph_.Linear(base_name, x, w, role, 1.0, addend);
    if (!adapted) return base;
    return graph_.Linear(name, LowRank(name, x, p), rows(p.lora_b), role,
                         LoraScale(inputs_.mix.lora), base, /*in_place=*/true);
  }

  ValueId LowRank(Name name, ValueId x, const ProjectionParameters& p) {
    if (p.stack < 0) return LowRank(name, x, graph_.Weight(p.lora_a), p.lora_a);
    const WeightStack& stack = graph_.program().stacks[static_cast<size_t>(p.stack)];
    const ValueId all = LowRank(name, x, graph_.StackedWeights(stack), stack.parameters[0]);
    return graph_.Columns(all, p.stack_row, inputs_.mix.lora.rank);
  }

  // x A^T, once for all projections that share A.
  ValueId LowRank(Name name, ValueId x, ValueId a, int32_t lora_a) {
    for (const LowRankValue& known : low_rank_) {
      if (known.x == x && known.a == a) return known.value;
    }
    const ValueId low =
        graph_.Linear(name.With("_low_rank"), Dropped(name, x, lora_a), a, Role::kOther);
    low_rank_.push_back({.x = x, .a = a, .value = low});
    return low;
  }

  // What an adapter reads in training. Formed again in backward, from its key: never saved.
  ValueId Dropped(Name name, ValueId x, int32_t lora_a) {
    if (bindings_.dropout_key.buffer < 0) return x;
    const Program& program = graph_.program();
    const Parameter& a = program.parameters[static_cast<size_t>(lora_a)];
    const Name module = program.buffers[static_cast<size_t>(a.weight)].name;
    return graph_.Dropout(name.With("_dropped"), x,
                          graph_.Bind("dropout_key", bindings_.dropout_key),
                          {.context = inputs_.workload.context,
                           .parameter_key = RandomKey(0, module.Text()),
                           .dropout = inputs_.mix.lora.dropout,
                           .row_begin = tile_begin_});
  }

  // Of the experts' weights, as much as one token goes through.
  ValueId ActiveWeight(int projection, ValueId w) {
    if (model_.expert_count == 0 || projection < kProjectionGate) return w;
    const int64_t width = model_.intermediate_size * model_.active_expert_count;
    return projection == kProjectionDown ? graph_.Part(w, Matrix(model_.hidden_size, width))
                                         : graph_.Part(w, Matrix(width, model_.hidden_size));
  }

  ValueId Heads(Name name, ValueId normed, int projection, int32_t norm, int64_t head_count,
                ValueId positions) {
    const bool rotates = model_.positions == Positions::kRotary;
    const Name projected = rotates || norm >= 0 ? name.With("_raw") : name;
    ValueId heads = Project(projected, normed, projection, Role::kOther);
    if (norm >= 0)
      heads = graph_.RmsNorm(rotates ? name.With("_normed") : name, heads, norm, model_);
    return rotates ? graph_.Rope(name, heads, positions, head_count, model_) : heads;
  }

  // Ranks that share what a query attends to: one where a single token is decoded.
  int64_t attending_ranks() const {
    return bindings_.key_cache.buffer >= 0 ? 1 : inputs_.mix.sequence_parallel;
  }
  int64_t HeadsOfRank(int64_t head_count) const {
    return HeadsOfOne(head_count, attending_ranks());
  }
  ValueId ToHeads(Name name, ValueId x, int64_t head_count) {
    if (attending_ranks() == 1) return x;
    return graph_.ToHeads(name.With("_of_rank"), x, HeadsOfRank(head_count) * model_.head_size);
  }

  struct AttentionInputs {
    ValueId q = kNoValue, k = kNoValue, v = kNoValue;
  };

  // Flash kernels alone read heads that lie further apart than their tokens' own; norms of heads, and ranks that exchange them, want them by themselves.
  bool FusesHeads() const {
    return parameters_.qkv.exist() && inputs_.mix.attention != AttentionKernel::kEager &&
           inputs_.mix.sequence_parallel == 1 && parameters_.q_norm < 0 && parameters_.k_norm < 0;
  }

  AttentionInputs FusedHeads(ValueId normed, ValueId positions) {
    const int64_t heads = model_.head_count, kv_heads = model_.kv_head_count,
                  size = model_.head_size;
    const bool rotates = model_.positions == Positions::kRotary;
    ValueId all = Fused(rotates ? "qkv_raw" : "qkv", normed, parameters_.qkv, Role::kOther);
    if (rotates) all = graph_.Rope("qkv", all, positions, heads + kv_heads, model_);
    return {.q = graph_.Columns(all, 0, heads * size),
            .k = graph_.Columns(all, heads * size, kv_heads * size),
            .v = graph_.Columns(all, (heads + kv_heads) * size, kv_heads * size)};
  }

  AttentionInputs HeadsOf(ValueId normed, ValueId positions) {
    const int64_t heads = model_.head_count, kv_heads = model_.kv_head_count;
    if (FusesHeads()) return FusedHeads(normed, positions);
    const ValueId q =
        ToHeads("q", Heads("q", normed, kProjectionQ, parameters_.q_norm, heads, positions), heads);
    const ValueId k = ToHeads(
        "k", Heads("k", normed, kProjectionK, parameters_.k_norm, kv_heads, positions), kv_heads);
    const ValueId v = ToHeads("v", Project("v", normed, kProjectionV, Role::kOther), kv_heads);
    return {.q = q, .k = k, .v = v};
  }

  ValueId Attention(ValueId normed) {
    const ValueId positions = graph_.Bind("positions", bindings_.positions);
    const auto [q, k, v] = HeadsOf(normed, positions);
    const OpAttributes attributes = AttentionAttributes(inputs_, attending_ranks());
    const ValueId o = graph_.AddValue(attending_ranks() > 1 ? "attended_of_rank" : "attended",
                                      graph_.value(q).dtype, graph_.value(q).shape);
    if (bindings_.key_cache.buffer >= 0) {
      Decode(q, k, v, positions, o, attributes);
    } else {
      Attend(q, k, v, o, attributes);
    }
    return attending_ranks() > 1 ? graph_.ToTokens("attended", o) : o;
  }

  void Attend(ValueId q, ValueId k, ValueId v, ValueId o, const OpAttributes& attributes) {
    const ValueId documents = graph_.Bind("document_starts", bindings_.document_starts);
    const int64_t rows = graph_.value(q).shape.dims[0] / attributes.context,
                  heads = rows * attributes.head_count;
    if (inputs_.mix.attention == AttentionKernel::kEager) {
      const ValueId p = graph_.AddValue("probabilities", graph_.value(q).dtype,
                                        Cube(heads, attributes.context, attributes.context));
      graph_.AddOp(OpKind::kAttention, attributes, {q, k, v, documents}, {o, p});
      return;
    }
    const OpKind kind = inputs_.mix.attention == AttentionKernel::kCudnn ? OpKind::kCudnnAttention
                                                                         : OpKind::kFlashAttention;
    const ValueId lse =
        graph_.AddValue("log_sum_exp", StatisticDType(inputs_), Matrix(heads, attributes.context));
    const ValueId scratch = graph_.AddValue("attention_workspace", StatisticDType(inputs_),
                                            AttentionForwardWorkspace(kind, attributes, rows),
                                            Role::kOther, MemoryClass::kWorkspace);
    graph_.AddOp(kind, attributes, {q, k, v, documents}, {o, lse, scratch});
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

  struct LowRankValue {
    ValueId x = kNoValue;
    ValueId a = kNoValue;
    ValueId value = kNoValue;
  };
  std::vector<LowRankValue> low_rank_;
  int64_t tile_begin_ = 0;  // of the tile of tokens at work
};

}  // namespace

OpAttributes AttentionAttributes(const ProgramInputs& inputs, int64_t attending_ranks) {
  const ModelSpec& model = inputs.model;
  const double scale = AttentionScale(model);
  return {.scale = scale,
          .head_count = HeadsOfOne(model.head_count, attending_ranks),
          .kv_head_count = HeadsOfOne(model.kv_head_count, attending_ranks),
          .head_size = model.head_size,
          .context = inputs.workload.context,
          .window = model.sliding_window,
          .full_layers = model.full_layers,
          .soft_cap = model.attention_soft_cap,
          .alibi_bias_max = model.alibi_bias_max,
          .alibi_factor = model.alibi_before_scale ? scale : 1.0,
          .sequence_parallel = static_cast<int32_t>(attending_ranks)};
}

ForwardGraph DecoderLayer(const Program& program, const ModelParameters& parameters,
                          const LayerBindings& bindings) {
  return LayerBuilder(program, parameters, bindings).Build();
}

}  // namespace tunesmith::planner
