#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/json.h"

namespace tunesmith::trainer {

// What a job remembers of its losses to decide by: which evaluation was the best, when to stop early, which loss cannot be believed. It is part of a
// checkpoint, so that a job that goes on decides as one that never stopped.
class RunHistory {
 public:
  struct Evaluation {
    int64_t step = 0;
    double loss = 0;  // nats per predicted token
    bool operator==(const Evaluation&) const = default;
  };

  // Of the last evaluation after a step, and the one with the lowest loss, the earlier of equals. What was evaluated before the first step does not count.
  const std::optional<Evaluation>& last() const { return last_; }
  const std::optional<Evaluation>& best() const { return best_; }
  // Evaluations since one that was better than all before it by more than the least improvement.
  int64_t evaluations_without_improvement() const { return evaluations_without_improvement_; }

  // Whether it is the best so far. An evaluation at the step of the last one is that one again and changes nothing.
  bool AddEvaluation(const Evaluation& evaluation, double least_improvement);

  // The loss over the median of the last kSpikeWindow, before it becomes one of them; 0 while fewer than kSpikeLeastCount are known, and where the median is 0.
  double AddLoss(double loss);
  static constexpr size_t kSpikeWindow = 16;
  static constexpr size_t kSpikeLeastCount = 8;

  nlohmann::json ToJson() const;
  // INVALID_ARGUMENT names `what` and the field.
  static absl::StatusOr<RunHistory> FromJson(const nlohmann::json& json, std::string_view what);

  bool operator==(const RunHistory&) const = default;

 private:
  std::optional<Evaluation> last_, best_;
  int64_t evaluations_without_improvement_ = 0;
  std::vector<double> recent_losses_;  // oldest first
};

}  // namespace tunesmith::trainer
