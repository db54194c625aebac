#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "planner/program/program.h"
#include "trainer/executor.h"
#include "trainer/thread_pool.h"

namespace tunesmith::trainer {

// Runs a step program on made-up weights and data that depend on names and positions alone, so that programs which place the same computation
// differently get the same numbers.
class ProgramRunner {
 public:
  // At most `label_limit` tokens of a row are predicted; 0: as many as the program's loss_token_capacity, if it has one.
  explicit ProgramRunner(const planner::ProgramInputs& inputs, bool guard_buffers = false,
                         int thread_count = 2, int64_t label_limit = 0);

  // All micro-batches of one optimizer step, then (with `optimize`) the optimizer. Returns the mean loss per valid token.
  double Step(bool optimize);
  double Evaluate();

  // One element of a parameter, for finite differences; and whole tensors by "name" with {} replaced by the layer.
  std::map<std::string, std::vector<double>> Gradients();
  std::map<std::string, std::vector<double>> Weights();
  void SetWeight(const std::string& name, const std::vector<double>& values);

  Executor& executor() { return *executor_; }
  int64_t valid_token_count() const { return valid_token_count_; }

 private:
  void FillWeights();
  void WriteScalars();
  void LoadMicroBatch(int64_t micro);
  void ClearLoss();
  double ReadLoss();
  std::map<std::string, std::vector<double>> ReadAll(bool gradients);
  std::vector<double> ReadBuffer(int32_t buffer, int64_t instance);
  void WriteBuffer(int32_t buffer, int64_t instance, const std::vector<double>& values);

  ThreadPool threads_;
  std::unique_ptr<Executor> executor_;
  int64_t label_limit_ = 0;
  int64_t valid_token_count_ = 0;
  int64_t optimizer_step_ = 0;
};

}  // namespace tunesmith::trainer
