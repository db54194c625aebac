#pragma once

#include <array>
#include <cstdint>

#include "planner/model/family.h"
#include "planner/model/model_spec.h"

// The tensors of a model: one description for parameter counts, step programs and checkpoints.
namespace tunesmith::planner {

// The linear layers of a decoder block, in the order of LoraTarget's bits.
enum Projection {
  kProjectionQ,
  kProjectionK,
  kProjectionV,
  kProjectionO,
  kProjectionGate,
  kProjectionUp,
  kProjectionDown
};
inline constexpr int kProjectionCount = 7;

struct ProjectionShape {
  int64_t output_size = 0;
  int64_t input_size = 0;
};
// Of all experts where a model has several: their outputs (gate, up) or inputs (down) one after the other. A plain MLP has no gate.
ProjectionShape ShapeOfProjection(const ModelSpec& model, int projection);

// Whether the model has this projection, and whether with a bias.
bool HasProjection(const ModelSpec& model, int projection);
bool HasBias(const ModelSpec& model, int projection);

enum class TensorRole : uint8_t {
  kEmbedding,
  kPositions,
  kFinalNorm,
  kHead,
  kAttentionNorm,
  kMlpNorm,
  kAttentionPostNorm,
  kMlpPostNorm,
  kQNorm,
  kKNorm,
  kRouter,  // of a mixture of experts
  kProjection,
};

// One tensor as the step program holds it: (output, input) for matrices, with the outputs of fused projections one after the other.
struct ModelTensor {
  TensorRole role = TensorRole::kEmbedding;
  bool bias = false;       // the role's bias, not its weight
  const char* layer = "";  // prefix with "{}" for the layer; empty: the model has one
  const char* module = "";
  const char* suffix = ".weight";
  std::array<int64_t, 2> dims = {1, 1};
  int rank = 1;
  TensorLayout layout = TensorLayout::kPlain;  // in checkpoints
  int first_projection = -1;                   // kProjection: it holds [first, first + count)
  int projection_count = 0;

  int64_t element_count() const { return dims[0] * dims[1]; }
};

namespace internal {

template <typename Visit>
class TensorVisitor {
 public:
  TensorVisitor(const ModelSpec& spec, Visit visit)
      : spec_(spec), names_(NamesOf(spec)), visit_(visit) {}

  void Top() {
    Matrix({.role = TensorRole::kEmbedding, .module = names_.embedding},
           {spec_.vocab_size, spec_.hidden_size});
    if (spec_.positions == Positions::kLearned)
      Matrix({.role = TensorRole::kPositions, .module = names_.positions},
             {spec_.context_limit, spec_.hidden_size});
    Norm(TensorRole::kFinalNorm, "", names_.final_norm, spec_.hidden_size, spec_.norm_bias);
    ModelTensor head{.role = TensorRole::kHead, .module = names_.head};
    if (!spec_.tied_head) Matrix(head, {spec_.vocab_size, spec_.hidden_size});
    if (spec_.head_bias) Bias(head, spec_.vocab_size);
  }

  void Layer() {
    const bool one_norm = spec_.parallel_blocks && spec_.shared_norm;
    const auto norm = [&](TensorRole role, const char* module) {
      Norm(role, names_.layer, module, spec_.hidden_size, spec_.norm_bias);
    };
    norm(TensorRole::kAttentionNorm, names_.attention_norm);
    if (!one_norm) norm(TensorRole::kMlpNorm, names_.mlp_norm);
    if (spec_.post_norms) {
      norm(TensorRole::kAttentionPostNorm, names_.attention_post_norm);
      norm(TensorRole::kMlpPostNorm, names_.mlp_post_norm);
    }
    if (spec_.qk_norm) {
      Norm(TensorRole::kQNorm, names_.layer, names_.q_norm, spec_.head_size, false);
      Norm(TensorRole::kKNorm, names_.layer, names_.k_norm, spec_.head_size, false);
    }
    if (spec_.expert_count > 0)
      Matrix({.role = TensorRole::kRouter, .layer = names_.layer, .module = "mlp.router"},
             {spec_.expert_count, spec_.hidden_size});
    for (int i = 0; i < kProjectionCount;) i += Projections(i);
  }

 private:
  // Those that share the module of projection `first`; returns how many.
  int Projections(int first) {
    const char* module = names_.projections[static_cast<size_t>(first)];
    int count = 1;
    while (first + count < kProjectionCount && module != nullptr &&
           names_.projections[static_cast<size_t>(first + count)] == module)
      ++count;
    if (!HasProjection(spec_, first)) return 1;
    ProjectionShape shape = ShapeOfProjection(spec_, first);
    for (int i = 1; i < count; ++i)
      shape.output_size += ShapeOfProjection(spec_, first + i).output_size;
    ModelTensor tensor{.role = TensorRole::kProjection,
                       .layer = names_.layer,
                       .module = module,
                       .layout = LayoutOf(first, count),
                       .first_projection = first,
                       .projection_count = count};
    Matrix(tensor, {shape.output_size, shape.input_size});
    if (tensor.layout == TensorLayout::kTransposed) tensor.layout = TensorLayout::kPlain;
    if (HasBias(spec_, first)) Bias(tensor, shape.output_size);
    return count;
  }

  TensorLayout LayoutOf(int first, int count) const {
    if (spec_.family == "gpt2") return TensorLayout::kTransposed;
    const bool grouped = spec_.family == "falcon" || spec_.family == "gpt_neox";
    return grouped && first == kProjectionQ && count == 3 ? TensorLayout::kHeadGroups
                                                          : TensorLayout::kPlain;
  }

  void Norm(TensorRole role, const char* layer, const char* module, int64_t size, bool bias) {
    const ModelTensor tensor{.role = role, .layer = layer, .module = module, .dims = {size, 1}};
    visit_(tensor);
    if (bias) Bias(tensor, size);
  }
  void Matrix(ModelTensor tensor, std::array<int64_t, 2> dims) {
    tensor.dims = dims;
    tensor.rank = 2;
    visit_(tensor);
  }
  void Bias(ModelTensor tensor, int64_t size) {
    tensor.bias = true;
    tensor.suffix = ".bias";
    tensor.dims = {size, 1};
    tensor.rank = 1;
    visit_(tensor);
  }

  const ModelSpec& spec_;
  const ModuleNames names_;
  Visit visit_;
};

}  // namespace internal

// visit(ModelTensor) for each tensor that the model has once, and for each of one layer.
template <typename Visit>
void ForEachTopTensor(const ModelSpec& spec, Visit visit) {
  internal::TensorVisitor<Visit>(spec, visit).Top();
}
template <typename Visit>
void ForEachLayerTensor(const ModelSpec& spec, Visit visit) {
  internal::TensorVisitor<Visit>(spec, visit).Layer();
}

}  // namespace tunesmith::planner
