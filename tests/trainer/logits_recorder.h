#pragma once

#include <vector>

#include "trainer/executor.h"

namespace tunesmith::trainer {

// Keeps the logits of every evaluation that runs while it observes: the inputs of cross entropy, (tokens, vocabulary) in order. CPU, fp32.
class LogitsRecorder : public OpObserver {
 public:
  void OnOp(const planner::Op& op, const OpCall& call, double) override {
    if (op.kind != planner::OpKind::kCrossEntropy) return;
    const Tensor& tensor = call.inputs[0];
    vocab_size_ = tensor.dims[1];
    values_.insert(values_.end(), tensor.as<float>(), tensor.as<float>() + tensor.element_count());
  }

  int64_t vocab_size() const { return vocab_size_; }
  int64_t token_count() const {
    return vocab_size_ == 0 ? 0 : static_cast<int64_t>(values_.size()) / vocab_size_;
  }
  const float* of_token(int64_t token) const { return values_.data() + token * vocab_size_; }
  void Clear() { values_.clear(); }

 private:
  int64_t vocab_size_ = 0;
  std::vector<float> values_;
};

}  // namespace tunesmith::trainer
