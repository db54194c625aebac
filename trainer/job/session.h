#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "planner/model/family.h"
#include "trainer/data/batch.h"
#include "trainer/data/token_slice.h"
#include "trainer/executor.h"
#include "trainer/model_io/weight_source.h"

namespace tunesmith::trainer {

// The optimizer's constants of one step, as the step_scalars buffer holds them; SGD reads the learning rate, the decay and the norm.
struct StepConstants {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double max_gradient_norm = 0;  // 0: no clipping
  int64_t optimizer_step = 1;    // from 1, for the bias corrections
};

struct StepResult {
  double mean_loss = 0;      // nats per predicted token
  double gradient_norm = 0;  // before clipping
  int64_t predicted_token_count = 0;
};

struct EvaluationResult {
  double mean_loss = 0;  // nats per predicted token
  int64_t predicted_token_count = 0;
};

// A model in an executor's arena: loads weights, takes optimizer steps, evaluates, generates. Not thread safe. Where the context has a communicator, every
// rank has a session and makes the same calls; what differs are the batches. Results are of all ranks, and the same on all.
class Session {
 public:
  // Reads every weight of `weights` into the arena, codes of 4 bits as they are where the mix quantizes alike and their rows can be put into the program's
  // order (else they are quantized anew from what they stand for), and starts adapters at their initial values: A uniform in +-1/sqrt(inputs) keyed by (seed,
  // name, element), B zero (as PEFT does). Stochastic rounding is keyed by `seed` too. `context` as for Executor. FAILED_PRECONDITION: weights of another model than the program's.
  static absl::StatusOr<std::unique_ptr<Session>> Create(planner::Program program,
                                                         const OpContext& context,
                                                         const WeightSource& weights,
                                                         uint64_t seed);

  // The same with noise for weights (trainer/noise_weights.h), adapters and all: of any size within seconds, for programs that are timed.
  static absl::StatusOr<std::unique_ptr<Session>> CreateWithNoise(planner::Program program,
                                                                  const OpContext& context,
                                                                  uint64_t seed);

  // One optimizer step over this rank's micro-batches of the mix, in order: of the step's, the m-th of the d-th data rank is the (m x data_parallel + d)-th, and
  // the ranks that compute it together are given all of it. The loss is the mean over all their predicted tokens; INVALID_ARGUMENT when there is none, DATA_LOSS when the loss is not finite (the weights are then unchanged), or the gradient norm (they have then taken the step).
  absl::StatusOr<StepResult> Step(absl::Span<const Batch> micro_batches,
                                  const StepConstants& constants);

  // Adds one batch, of every data rank, to `result`, whose mean_loss is that of all batches added so far.
  absl::Status Evaluate(const Batch& batch, EvaluationResult& result);

  // Greedy continuation of `prompt`: at most `count` tokens, fewer at an end token or at the end of the context. INVALID_ARGUMENT: an empty prompt
  // or one that leaves no room.
  absl::StatusOr<std::vector<int32_t>> Generate(absl::Span<const int32_t> prompt, int64_t count,
                                                absl::Span<const int32_t> end_tokens);

  // A weight that the program saves (every one for full fine-tuning, else the adapters), by its name, through the save
  // segment. NOT_FOUND for any other. WriteWeight takes frozen weights too.
  absl::StatusOr<std::vector<float>> ReadWeight(const std::string& name);
  // The same into room for as many elements; INVALID_ARGUMENT for another number.
  absl::Status ReadWeight(const std::string& name, absl::Span<float> out);
  absl::Status WriteWeight(const std::string& name, absl::Span<const float> values);

  // How checkpoints hold a weight or an adapter's matrix, by its name.
  planner::TensorLayout LayoutOf(const std::string& name) const;

  Executor& executor() { return *executor_; }
  const planner::Program& program() const { return executor_->program(); }

 private:
  Session(std::unique_ptr<Executor> executor, uint64_t seed)
      : executor_(std::move(executor)), seed_(seed) {}

  // Without weights.
  static absl::StatusOr<std::unique_ptr<Session>> Open(planner::Program program,
                                                       const OpContext& context, uint64_t seed);

  void FindLayouts();
  // Codes of 4 bits that a parameter can take as they are.
  std::optional<Nf4Weight> StoredCodes(const WeightSource& weights,
                                       const planner::Parameter& parameter,
                                       const std::string& name) const;
  absl::Status LoadWeights(const WeightSource& weights, uint64_t seed);
  // What this rank has of a batch. INVALID_ARGUMENT: it is not as large as the program's.
  absl::StatusOr<TokenSlice> SliceOfRank(const Batch& batch) const;
  absl::Status Load(const TokenSlice& slice);
  absl::Status WriteDropoutKey(int64_t optimizer_step, int64_t first_token);
  absl::Status WriteConstants(const StepConstants& constants);
  absl::StatusOr<double> ReadLossSum();
  absl::Status ClearLossSum();
  absl::StatusOr<int32_t> NextToken(int32_t token, int32_t position);
  // A weight's buffer, and which instance of it.
  struct Weight {
    int32_t buffer = 0;
    int64_t instance = 0;
  };
  absl::StatusOr<Weight> FindWeight(const std::string& name) const;
  // What the save segment put into `staging`, in the order of checkpoints.
  absl::StatusOr<std::vector<float>> ReadStaged(const std::string& name, const Weight& tensor,
                                                int32_t staging);
  // The sum over ranks, the same on all.
  absl::Status SumOverRanks(absl::Span<double> values);
  int64_t TokensBefore(size_t micro_batch) const;

  std::unique_ptr<Executor> executor_;
  const uint64_t seed_;
  std::map<std::string, planner::TensorLayout> layouts_;  // by name; others are plain
};

}  // namespace tunesmith::trainer
