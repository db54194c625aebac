#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "planner/answer/prediction.h"
#include "planner/program/program.h"

namespace tunesmith::planner {

// When saved activations and gradients live during one micro-batch, and where they lie in their two stacks. A step of the timeline is one
// execution of a block.
class MicroTimeline {
 public:
  // One instance of a buffer.
  struct Item {
    int32_t buffer = 0;
    int64_t position = 0;  // instance - first_instance
    int64_t bytes = 0;     // with padding
    int64_t first = -1;    // steps that touch it; -1: none
    int64_t last = -1;
    int64_t start_bytes = 0;  // from its stack's base: saved ones grow up, gradients down
  };
  // What is live during one step.
  struct Instant {
    int64_t stack_top_bytes = 0;  // above the base: the end of the highest live saved activation
    int64_t gradient_bytes = 0;
    std::array<int64_t, kMemoryClassCount> class_bytes = {};  // of saved activations
  };

  MicroTimeline() = default;
  // `gradients_stay`: they live through every micro-batch; else they are born in this one, and stay till its end.
  MicroTimeline(const Program& program, const Segment& micro, bool gradients_stay);

  // By birth; of those born together, the longest lived lies deepest.
  const std::vector<Item>& saved() const { return saved_; }
  const std::vector<Item>& gradients() const { return gradients_; }
  int64_t gradient_bytes() const { return gradient_bytes_; }
  const Instant& instant(int64_t step) const { return instants_[static_cast<size_t>(step)]; }

 private:
  void FillItems(const Program& program, const Segment& micro);
  void FillStackTops();
  void FillClasses(const Program& program);
  void FillGradients(bool gradients_stay);

  std::vector<Item> saved_;
  std::vector<Item> gradients_;
  int64_t gradient_bytes_ = 0;
  std::vector<Instant> instants_;
};

}  // namespace tunesmith::planner
