#pragma once

#include <cstdint>

#include "planner/program/workspace.h"

// The element-wise parts of the CPU's flash attention on one tile of scores. Scores are held turned round, a row for each key and a column for
// each query of the tile: what belongs to a query is then a lane of a vector, and sums over keys need no sums across lanes. Scores are in units of
// the base-2 logarithm.
namespace tunesmith::trainer::cpu {

// The keys that each query of a tile sees, counted from the first key of a tile of keys: those in [first, last]. Not used where all see all.
struct VisibleKeys {
  int32_t first[planner::kFlashTile];
  int32_t last[planner::kFlashTile];
  bool all = false;
};

// What forward carries from tile to tile for each query.
template <typename T>
struct SoftmaxState {
  T maxima[planner::kFlashTile];
  T sums[planner::kFlashTile];
};

// What soft-caps and ALiBi make of scores, in units of the base-2 logarithm.
template <typename T>
struct TileChange {
  T cap = 0;             // score -> cap * tanh(score / cap); 0: none
  T slope = 0;           // taken off for each token between key and query; 0: none
  T first_distance = 0;  // between the tile's first query and first key

  bool none() const { return cap == 0 && slope == 0; }
};

void ChangeScores(int64_t key_count, const TileChange<float>& change, float* scores);
void ChangeScores(int64_t key_count, const TileChange<double>& change, double* scores);

// Of capped and biased scores: slopes (key_count, kFlashTile) become the derivative of the cap, 1 - tanh^2. REQUIRES: change.cap > 0.
void CapSlopes(int64_t key_count, const TileChange<float>& change, const float* scores,
               float* slopes);
void CapSlopes(int64_t key_count, const TileChange<double>& change, const double* scores,
               double* slopes);

// y (key_count, kFlashTile) *= x.
void MultiplyTile(int64_t key_count, const float* x, float* y);
void MultiplyTile(int64_t key_count, const double* x, double* y);

// Scores (key_count, kFlashTile) become 2^(score - new maximum), zero where not visible, and `state` takes them in. factors: what the queries'
// earlier sums and outputs were multiplied by. True if any factor is not one.
bool SoftmaxTile(int64_t key_count, const VisibleKeys& visible, float* scores,
                 SoftmaxState<float>& state, float* factors);
bool SoftmaxTile(int64_t key_count, const VisibleKeys& visible, double* scores,
                 SoftmaxState<double>& state, double* factors);

// Scores become probabilities 2^(score - log_sums[query]), and gradients of probabilities become gradients of products, scale * p *
// (gradient - projections[query]); both zero where not visible.
void SoftmaxBackwardTile(int64_t key_count, const VisibleKeys& visible, float scale,
                         const float* log_sums, const float* projections, float* scores,
                         float* gradients);
void SoftmaxBackwardTile(int64_t key_count, const VisibleKeys& visible, double scale,
                         const double* log_sums, const double* projections, double* scores,
                         double* gradients);

}  // namespace tunesmith::trainer::cpu
