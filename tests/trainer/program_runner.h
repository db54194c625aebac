#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "planner/program/program.h"
#include "trainer/executor.h"
#include "trainer/pieces.h"
#include "trainer/thread_pool.h"

namespace tunesmith::trainer {

// Runs a step program on made-up weights and data that depend on names and positions alone, so that programs which place the same computation
// differently get the same numbers.
class ProgramRunner {
 public:
  // At most `label_limit` tokens of a row are predicted; 0: as many as the program's loss_token_capacity, if it has one.
  // `communicator`: of one rank of several; not for a rank that is alone.
  explicit ProgramRunner(const planner::ProgramInputs& inputs, bool guard_buffers = false,
                         int thread_count = 2, int64_t label_limit = 0,
                         Communicator* communicator = nullptr);

  // All micro-batches of one optimizer step, then (with `optimize`) the optimizer. Returns the mean loss per valid token.
  double Step(bool optimize);
  double Evaluate();

  // Whole tensors by "name" with {} replaced by the layer; of several ranks, what this one holds of them, and zeros elsewhere. Weights in the order of the ranks'
  // shards: every element is held by one.
  std::map<std::string, std::vector<double>> Gradients();
  std::map<std::string, std::vector<double>> Weights();
  void SetWeight(const std::string& name, const std::vector<double>& values);

  // Before clipping, of the last step that optimized; and what it is clipped to (0.5 unless this is called).
  double GradientNorm();
  void set_max_gradient_norm(double norm) { max_gradient_norm_ = norm; }

  Executor& executor() { return *executor_; }
  int64_t valid_token_count() const { return valid_token_count_; }

 private:
  void FillWeights();
  // Which of the step's micro-batches this rank's `micro`-th is.
  int64_t GlobalMicro(int64_t micro) const;
  void WriteScalars();
  void LoadMicroBatch(int64_t micro);
  void ClearLoss();
  double ReadLoss();
  std::vector<double> ReadBuffer(int32_t buffer, int64_t instance);
  std::vector<double> ReadPiece(const Piece& piece, int64_t element_count, DType dtype);
  void WriteBuffer(int32_t buffer, int64_t instance, const std::vector<double>& values);
  void WriteMaster(int32_t parameter, int64_t instance, const std::vector<double>& values);

  ThreadPool threads_;
  std::unique_ptr<Executor> executor_;
  int64_t label_limit_ = 0;
  int64_t valid_token_count_ = 0;
  int64_t optimizer_step_ = 0;
  double max_gradient_norm_ = 0.5;
};

}  // namespace tunesmith::trainer
