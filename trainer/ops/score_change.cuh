#pragma once

#include <cstdint>

#include "trainer/ops/attention.h"

// What soft-caps and ALiBi make of a score, for the CUDA attention kernels. Slopes as in trainer/ops/alibi.h.
namespace tunesmith::trainer::cuda {

struct ChangedScore {
  float score;
  float slope;  // of the new score in the old
};

struct ScoreChange {
  float soft_cap;      // 0: none
  float alibi_factor;  // 0: none
  float alibi_bias_max;
  int64_t power;  // the largest power of two that is at most the number of heads
  int64_t first_head;

  __device__ float SlopeOf(int64_t head_of_rank) const {
    if (alibi_factor == 0.0f) return 0.0f;
    const int64_t head = first_head + head_of_rank;
    const bool within = head < power;
    const float step = static_cast<float>(within ? head + 1 : 2 * (head - power) + 1);
    return alibi_factor *
           exp2f(-alibi_bias_max * step / static_cast<float>(within ? power : 2 * power));
  }

  // Of a scaled score of query head `head` with a key `distance` tokens before the query.
  __device__ ChangedScore Apply(float score, int64_t head, int64_t distance) const {
    ChangedScore changed = {score, 1.0f};
    if (soft_cap > 0.0f) {
      const float share = tanhf(score / soft_cap);
      changed = {soft_cap * share, 1.0f - share * share};
    }
    if (alibi_factor != 0.0f) changed.score -= SlopeOf(head) * static_cast<float>(distance);
    return changed;
  }
};

inline ScoreChange ScoreChangeOf(const AttentionShape& shape) {
  int64_t power = 1;
  while (2 * power <= AllHeadCount(shape)) power *= 2;
  const bool alibi = shape.alibi_bias_max > 0;
  return {.soft_cap = static_cast<float>(shape.soft_cap),
          .alibi_factor = alibi ? static_cast<float>(shape.alibi_factor) : 0.0f,
          .alibi_bias_max = static_cast<float>(shape.alibi_bias_max),
          .power = power,
          .first_head = shape.first_head};
}

}  // namespace tunesmith::trainer::cuda
