#include "trainer/cuda/attention_graph.h"

#include <utility>

// With S = scale q k^T and what is not seen masked, forward is
//   m = max S,  l = sum exp(S - m),  log_sum_exp = m + log l,  P = exp(S - m) / l,  o = P v
// and backward, per head,
//   P = exp(S - log_sum_exp),  dv = P^T d_o,  deltas = sum d_o o,  dS = scale P (d_o v^T - deltas),  dk = dS^T q,  dq = dS k.
// cuDNN recognizes these operations in this order and no other as attention. It finds whether a tile of keys can be seen at all from causality and the window;
// documents are a mask within tiles.
//
// A document's end is given per key: i sees j where j <= i < end(j). That its start is before j need not be asked, and a vector over queries (the starts) would
// be the third beside log_sum_exp and the deltas in backward, which engines before sm_90 do not take.
namespace tunesmith::trainer {
namespace {

constexpr cudnnDataType_t kBF16 = CUDNN_DATA_BFLOAT16;
constexpr cudnnDataType_t kF32 = CUDNN_DATA_FLOAT;
constexpr cudnnDataType_t kI32 = CUDNN_DATA_INT32;
constexpr cudnnDataType_t kBool = CUDNN_DATA_BOOLEAN;

constexpr int64_t kQueryAxis = 2;
constexpr int64_t kKeyAxis = 3;

// How tensors of a shape lie: dims (B, heads, T, D) or (B, heads, T, T) of memory that is row-major over tokens.
struct Layouts {
  explicit Layouts(const AttentionGraphShape& s) : shape(s) {}

  CudnnLayout Heads(int64_t heads, int64_t stride) const {
    const int64_t d = shape.head_size;
    if (stride == 0) stride = heads * d;
    return {{shape.rows, heads, shape.context, d}, {shape.context * stride, d, stride, 1}};
  }
  CudnnLayout Queries() const { return Heads(shape.head_count, shape.query_stride); }
  CudnnLayout Outputs() const { return Heads(shape.head_count, 0); }
  CudnnLayout Keys() const { return Heads(shape.kv_head_count, shape.key_stride); }
  CudnnLayout TurnedKeys() const { return Turned(Keys()); }
  // A head after the other: of what exists for cuDNN alone.
  CudnnLayout HeadMajor() const {
    const int64_t t = shape.context, d = shape.head_size;
    return {{shape.rows, shape.head_count, t, d}, {shape.head_count * t * d, t * d, d, 1}};
  }
  CudnnLayout Scores() const {
    const int64_t t = shape.context;
    return {{shape.rows, shape.head_count, t, t}, {shape.head_count * t * t, t * t, t, 1}};
  }
  // Scores as they lie, read as (keys, queries).
  CudnnLayout TurnedScores() const { return Turned(Scores()); }
  // One for each query.
  CudnnLayout PerQuery() const {
    const int64_t t = shape.context;
    return {{shape.rows, shape.head_count, t, 1}, {shape.head_count * t, t, 1, 1}};
  }
  // One for each key, the same for all heads.
  CudnnLayout PerKey() const {
    const int64_t t = shape.context;
    return {{shape.rows, 1, 1, t}, {t, t, t, 1}};
  }

  AttentionGraphShape shape;

 private:
  static CudnnLayout Turned(CudnnLayout layout) {
    std::swap(layout.dims[2], layout.dims[3]);
    std::swap(layout.strides[2], layout.strides[3]);
    return layout;
  }
};

// What the two graphs share.
class AttentionBuilder {
 public:
  AttentionBuilder(const Cudnn& cudnn, const AttentionGraphShape& shape)
      : graph_(cudnn),
        layouts_(shape),
        scale_(Value(AttentionId::kScale, kF32)),
        masked_(Value(AttentionId::kMasked, kF32)) {}

 protected:
  CudnnTensor Memory(AttentionId id, cudnnDataType_t dtype, const CudnnLayout& layout) {
    return graph_.Memory(static_cast<int64_t>(id), dtype, layout);
  }
  CudnnTensor Value(AttentionId id, cudnnDataType_t dtype) {
    return graph_.Value(static_cast<int64_t>(id), dtype);
  }

  CudnnTensor Scores(const CudnnTensor& q, const CudnnTensor& turned_k) {
    const CudnnTensor products = Product(q, turned_k, kF32, layouts_.Scores());
    return graph_.Pointwise(CUDNN_POINTWISE_MUL, products, scale_, kF32);
  }

  CudnnTensor Product(const CudnnTensor& a, const CudnnTensor& b, cudnnDataType_t dtype,
                      const CudnnLayout& layout) {
    const CudnnTensor c = graph_.Between(dtype, layout);
    graph_.MatmulInto(a, b, c);
    return c;
  }

  CudnnTensor Reduced(cudnnReduceTensorOp_t reduction, const CudnnTensor& x) {
    const CudnnTensor y = graph_.Between(kF32, layouts_.PerQuery());
    graph_.ReduceInto(reduction, x, y);
    return y;
  }

  CudnnTensor Masked(CudnnTensor scores) {
    scores = Causal(scores);
    if (layouts_.shape.window > 0) scores = Windowed(scores);
    if (layouts_.shape.documents) scores = WithinDocuments(scores);
    return scores;
  }

  CudnnGraphBuilder graph_;
  Layouts layouts_;
  CudnnTensor scale_, masked_;

 private:
  CudnnTensor Causal(const CudnnTensor& scores) {
    const CudnnTensor query = graph_.Index(scores, kQueryAxis);
    const CudnnTensor key = graph_.Index(scores, kKeyAxis);
    return Where(graph_.Pointwise(CUDNN_POINTWISE_CMP_GE, query, key, kBool), scores);
  }

  CudnnTensor Windowed(const CudnnTensor& scores) {
    const CudnnTensor query = graph_.Index(scores, kQueryAxis);
    const CudnnTensor key = graph_.Index(scores, kKeyAxis);
    const CudnnTensor window = Value(AttentionId::kWindow, kI32);
    const CudnnTensor end = graph_.Pointwise(CUDNN_POINTWISE_ADD, key, window, kI32);
    return Where(graph_.Pointwise(CUDNN_POINTWISE_CMP_GT, end, query, kBool), scores);
  }

  CudnnTensor WithinDocuments(const CudnnTensor& scores) {
    const CudnnTensor query = graph_.Index(scores, kQueryAxis);
    const CudnnTensor ends = Memory(AttentionId::kDocumentEnds, kI32, layouts_.PerKey());
    return Where(graph_.Pointwise(CUDNN_POINTWISE_CMP_LT, query, ends, kBool), scores);
  }

  CudnnTensor Where(const CudnnTensor& seen, const CudnnTensor& scores) {
    return graph_.Select(seen, scores, masked_);
  }
};

class ForwardBuilder : AttentionBuilder {
 public:
  using AttentionBuilder::AttentionBuilder;

  absl::StatusOr<CudnnGraph> Build(cudnnHandle_t handle) {
    const CudnnTensor q = Memory(AttentionId::kQ, kBF16, layouts_.Queries());
    const CudnnTensor turned_k = Memory(AttentionId::kK, kBF16, layouts_.TurnedKeys());
    const CudnnTensor v = Memory(AttentionId::kV, kBF16, layouts_.Keys());
    const CudnnTensor o = Memory(AttentionId::kO, kBF16, layouts_.Outputs());
    graph_.MatmulInto(Probabilities(Masked(Scores(q, turned_k))), v, o);
    return graph_.Finish(handle);
  }

 private:
  CudnnTensor Probabilities(const CudnnTensor& scores) {
    const CudnnTensor log_sum_exp = Memory(AttentionId::kLogSumExp, kF32, layouts_.PerQuery());
    const CudnnTensor maximum = Reduced(CUDNN_REDUCE_TENSOR_MAX, scores);
    const CudnnTensor below = graph_.Pointwise(CUDNN_POINTWISE_SUB, scores, maximum, kF32);
    const CudnnTensor weights = graph_.Pointwise(CUDNN_POINTWISE_EXP, below, kF32);
    const CudnnTensor sum = Reduced(CUDNN_REDUCE_TENSOR_ADD, weights);
    const CudnnTensor log_sum = graph_.Pointwise(CUDNN_POINTWISE_LOG, sum, kF32);
    graph_.PointwiseInto(CUDNN_POINTWISE_ADD, maximum, log_sum, log_sum_exp);
    return graph_.Pointwise(CUDNN_POINTWISE_DIV, weights, sum, kBF16);
  }
};

class BackwardBuilder : AttentionBuilder {
 public:
  using AttentionBuilder::AttentionBuilder;

  absl::StatusOr<CudnnGraph> Build(cudnnHandle_t handle) {
    const CudnnTensor q = Memory(AttentionId::kQ, kBF16, layouts_.Queries());
    const CudnnTensor turned_k = Memory(AttentionId::kK, kBF16, layouts_.TurnedKeys());
    const CudnnTensor turned_v = Memory(AttentionId::kV, kBF16, layouts_.TurnedKeys());
    const CudnnTensor d_o = Memory(AttentionId::kDO, kBF16, layouts_.Outputs());
    const CudnnTensor deltas = Deltas(d_o);
    const CudnnTensor probabilities = Probabilities(Scores(q, turned_k));
    KeyGradient(probabilities, d_o, Memory(AttentionId::kDV, kBF16, layouts_.Keys()));
    const CudnnTensor d_scores = ScoreGradient(d_o, turned_v, deltas, probabilities);
    KeyGradient(d_scores, q, Memory(AttentionId::kDK, kBF16, layouts_.Keys()));
    QueryGradient(d_scores, turned_k);
    return graph_.Finish(handle);
  }

 private:
  CudnnTensor Deltas(const CudnnTensor& d_o) {
    const CudnnTensor o = Memory(AttentionId::kO, kBF16, layouts_.Outputs());
    const CudnnTensor deltas = Memory(AttentionId::kDeltas, kF32, layouts_.PerQuery());
    const CudnnTensor products = graph_.Pointwise(CUDNN_POINTWISE_MUL, d_o, o, kF32);
    const CudnnTensor sums = Reduced(CUDNN_REDUCE_TENSOR_ADD, products);
    // The pattern has a factor here, for dropout.
    graph_.PointwiseInto(CUDNN_POINTWISE_MUL, sums, Value(AttentionId::kOne, kF32), deltas);
    return deltas;
  }

  // Here masks come after the subtraction.
  CudnnTensor Probabilities(const CudnnTensor& scores) {
    const CudnnTensor log_sum_exp = Memory(AttentionId::kLogSumExp, kF32, layouts_.PerQuery());
    const CudnnTensor below = graph_.Pointwise(CUDNN_POINTWISE_SUB, scores, log_sum_exp, kF32);
    return graph_.Pointwise(CUDNN_POINTWISE_EXP, Masked(below), kF32);
  }

  CudnnTensor ScoreGradient(const CudnnTensor& d_o, const CudnnTensor& turned_v,
                            const CudnnTensor& deltas, const CudnnTensor& probabilities) {
    const CudnnTensor dp = Product(d_o, turned_v, kF32, layouts_.Scores());
    const CudnnTensor centered = graph_.Pointwise(CUDNN_POINTWISE_SUB, dp, deltas, kF32);
    const CudnnTensor ds = graph_.Pointwise(CUDNN_POINTWISE_MUL, centered, probabilities, kF32);
    return graph_.Pointwise(CUDNN_POINTWISE_MUL, ds, scale_, kBF16);
  }

  // y = x^T by, summed over the heads that share keys.
  void KeyGradient(const CudnnTensor& x, const CudnnTensor& by, const CudnnTensor& y) {
    const CudnnTensor turned = graph_.Between(kBF16, layouts_.TurnedScores());
    graph_.ReshapeInto(x, turned);
    if (layouts_.shape.head_count == layouts_.shape.kv_head_count) {
      graph_.MatmulInto(turned, by, y);
    } else {
      const CudnnTensor of_each_head = Product(turned, by, kBF16, layouts_.HeadMajor());
      graph_.ReduceInto(CUDNN_REDUCE_TENSOR_ADD, of_each_head, y);
    }
  }

  void QueryGradient(const CudnnTensor& d_scores, const CudnnTensor& turned_k) {
    const CudnnTensor k = graph_.Between(kBF16, layouts_.Keys());
    graph_.ReshapeInto(turned_k, k);
    const CudnnTensor sums = Memory(AttentionId::kDQSums, kF32, layouts_.HeadMajor());
    graph_.MatmulInto(d_scores, k, sums);
    graph_.CopyInto(sums, Memory(AttentionId::kDQ, kBF16, layouts_.Queries()));
  }
};

}  // namespace

absl::StatusOr<CudnnGraph> AttentionForwardGraph(const Cudnn& cudnn,
                                                 const AttentionGraphShape& shape,
                                                 cudnnHandle_t handle) {
  return ForwardBuilder(cudnn, shape).Build(handle);
}

absl::StatusOr<CudnnGraph> AttentionBackwardGraph(const Cudnn& cudnn,
                                                  const AttentionGraphShape& shape,
                                                  cudnnHandle_t handle) {
  return BackwardBuilder(cudnn, shape).Build(handle);
}

}  // namespace tunesmith::trainer
