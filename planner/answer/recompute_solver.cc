#include "planner/answer/recompute_solver.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/time/clock.h"

// A node has given the first layers to the rungs that keep least; the layers left go to rungs that keep more. Two bounds judge it before it is
// walked on:
//
//   time    its layers' compute time + the least that the layers left can take within what the arena has left for the stack at the loss: the
//           lower convex hull of the rungs' (stack bytes, time), which is the linear relaxation of their counts;
//   memory  what its layers need while they run, exactly; at the loss all that the stack holds at least; at the last layer's backward the same plus that layer's own buffers; and at the backward of the first of the
//           layers left what the prefix holds, that layer's buffers, and the gradients of those after it.
//
// Where several mixes tie, both bounds together decide, so that ties cost nothing.
namespace tunesmith::planner {
namespace {

constexpr int64_t kNodesPerLook = 4096;  // at the clock

double Cross(std::pair<double, double> o, std::pair<double, double> a,
             std::pair<double, double> b) {
  return (a.first - o.first) * (b.second - o.second) - (a.second - o.second) * (b.first - o.first);
}

// Corners of the lower hull of points, by bytes, falling in time.
std::vector<std::pair<double, double>> LowerHull(std::vector<std::pair<double, double>> points) {
  std::sort(points.begin(), points.end());
  std::vector<std::pair<double, double>> hull;
  for (const auto& p : points) {
    if (!hull.empty() && p.second >= hull.back().second) continue;  // more bytes for no time
    while (hull.size() >= 2 && Cross(hull[hull.size() - 2], hull.back(), p) <= 0) hull.pop_back();
    hull.push_back(p);
  }
  return hull;
}

// Time at `bytes` on the hull; its last corner's beyond it, none (infinity) below its first.
double TimeAt(const std::vector<std::pair<double, double>>& hull, double bytes) {
  if (bytes < hull.front().first) return std::numeric_limits<double>::infinity();
  for (size_t i = 1; i < hull.size(); ++i) {
    if (bytes > hull[i].first) continue;
    const auto& [x0, y0] = hull[i - 1];
    const auto& [x1, y1] = hull[i];
    return y0 + (y1 - y0) * (bytes - x0) / (x1 - x0);
  }
  return hull.back().second;
}

}  // namespace

RecomputeSolver::Key RecomputeSolver::KeyOf(int64_t arena_bytes, int64_t step_picoseconds) const {
  return memory_first_ ? Key{arena_bytes, 0} : Key{step_picoseconds, arena_bytes};
}

void RecomputeSolver::Reset(bool memory_first, int64_t arena_limit, int64_t step_limit) {
  memory_first_ = memory_first;
  arena_limit_ = arena_limit;
  step_limit_ = step_limit;
  best_.reset();
  keep_all_picoseconds_ = 0;
  node_count_ = 0;
  last_evaluated_count_ =
      family_.hides_compute() && !memory_first ? evaluated_count_ + kMostHiddenMixes : kNever;
  deadline_reached_ = false;
}

void RecomputeSolver::Take(const RecomputeCounts& counts, const ComposedMix& composed) {
  ++evaluated_count_;
  const int64_t arena = composed.arena_bytes, step = composed.price.step_picoseconds;
  if (arena > arena_limit_ || step > step_limit_) return;
  const Key key = KeyOf(arena, step);
  if (best_ && !(key < best_key_)) return;
  best_ = {.counts = counts, .composed = composed};
  best_key_ = key;
}

ComposedMix RecomputeSolver::Offer(const RecomputeCounts& counts) {
  const ComposedMix composed = family_.Compose(counts);
  Take(counts, composed);
  return composed;
}

int64_t RecomputeSolver::MostLayers(Rung rung, int64_t left) const {
  return rung == Rung::kHost ? std::min(left, limits_.host_layer_count) : left;
}

void RecomputeSolver::OutlineRungs() {
  if (!rungs_.empty()) return;
  for (int r = kRungCount - 1; r >= 0; --r) {
    const Rung rung = static_cast<Rung>(r);
    if ((limits_.rungs >> r & 1u) == 0 || MostLayers(rung, 1) == 0) continue;
    family_.Outline(rung);
    rungs_.push_back(rung);
  }
  MeasureRungs();
}

// Rungs that are the same as a lighter one are left out: their mixes would be counted twice.
void RecomputeSolver::PrepareRungs() {
  OutlineRungs();
  if (prepared_) return;
  prepared_ = true;
  for (Rung rung : rungs_) family_.Prepare(rung);
  for (size_t i = 0; i + 1 < rungs_.size();) {
    if (rungs_[i] != Rung::kHost && family_.SameRung(rungs_[i], rungs_[i + 1])) {
      rungs_.erase(rungs_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  MeasureRungs();
}

void RecomputeSolver::MeasureRungs() {
  discount_picoseconds_ = discount_bytes_ = 0;
  for (Rung rung : rungs_) {
    discount_picoseconds_ =
        std::min(discount_picoseconds_, family_.ComputeDiscountPicoseconds(rung));
    discount_bytes_ = std::min(discount_bytes_, family_.StackDiscountBytes(rung));
  }
  hulls_.clear();
  least_backward_bytes_.assign(rungs_.size(), 0);
  least_stack_bytes_.assign(rungs_.size(), 0);
  for (size_t depth = 0; depth < rungs_.size(); ++depth) {
    std::vector<std::pair<double, double>> points;
    int64_t backward = std::numeric_limits<int64_t>::max(), stack = backward;
    for (size_t i = depth; i < rungs_.size(); ++i) {
      const int64_t bytes = family_.StackBytes(rungs_[i]);
      points.emplace_back(static_cast<double>(bytes),
                          static_cast<double>(family_.ComputePicoseconds(rungs_[i])));
      stack = std::min(stack, bytes);
      if (prepared_) backward = std::min(backward, bytes + family_.LeastBackwardBytes(rungs_[i]));
    }
    hulls_.push_back({LowerHull(std::move(points))});
    least_stack_bytes_[depth] = stack;
    if (prepared_) least_backward_bytes_[depth] = backward;
  }
}

// Halves the counts of the deeper rung until the best split of the two is found, or nearly: arenas fall and times rise with that count, but for
// special layers.
void RecomputeSolver::OfferSplits(Rung deep, Rung light) {
  const int64_t layers = family_.layer_count();
  for (int64_t low = 0, high = MostLayers(deep, layers); low <= high;) {
    const int64_t count = low + (high - low) / 2;
    RecomputeCounts counts = {};
    counts[static_cast<size_t>(light)] = layers - count;
    counts[static_cast<size_t>(deep)] += count;
    const ComposedMix composed = Offer(counts);
    const bool deeper = memory_first_ ? composed.price.step_picoseconds <= step_limit_
                                      : composed.arena_bytes > arena_limit_;
    (deeper ? low : high) = deeper ? count + 1 : count - 1;
  }
}

void RecomputeSolver::OfferTwoRungSplits() {
  if (rungs_.size() == 1) return OfferSplits(rungs_[0], rungs_[0]);
  for (size_t deep = 0; deep < rungs_.size(); ++deep) {
    for (size_t light = deep + 1; light < rungs_.size(); ++light)
      OfferSplits(rungs_[deep], rungs_[light]);
  }
}

RecomputeSolver::Node RecomputeSolver::Root() const {
  return {.left = family_.layer_count(),
          .compute_picoseconds = discount_picoseconds_,
          .stack_bytes = discount_bytes_};
}

std::optional<SolvedRecompute> RecomputeSolver::Walk() {
  OutlineRungs();
  if (rungs_.empty() || !MayHelp(0, Root())) return best_;
  PrepareRungs();
  OfferTwoRungSplits();
  Branch(0, Root());
  return best_;
}

int64_t RecomputeSolver::LeastArenaBytes() {
  OutlineRungs();
  return rungs_.empty() ? kNever : LeastArena(0, Root());
}

int64_t RecomputeSolver::LeastStepPicoseconds(int64_t arena_bytes) {
  if (LeastArenaBytes() > arena_bytes) return kNever;
  Reset(/*memory_first=*/false, arena_bytes, kNever);
  return LeastStep(0, Root());
}

std::optional<SolvedRecompute> RecomputeSolver::Quickest(int64_t arena_bytes,
                                                         int64_t step_picoseconds) {
  const int64_t least = LeastStepPicoseconds(arena_bytes);
  if (least == kNever || least > step_picoseconds) return std::nullopt;
  Reset(/*memory_first=*/false, arena_bytes, step_picoseconds);
  if ((limits_.rungs & 1u) != 0) {
    // Nothing is quicker than keeping everything. Another rung may be as quick, and its arena smaller, where recomputation hides behind what goes between ranks:
    // then that which computes least is chosen.
    family_.Prepare(Rung::kKeep);
    RecomputeCounts counts = {};
    counts[static_cast<size_t>(Rung::kKeep)] = family_.layer_count();
    const ComposedMix keep_all = Offer(counts);
    if (keep_all.arena_bytes <= arena_bytes) return best_;
    keep_all_picoseconds_ = keep_all.price.step_picoseconds;
  }
  return Walk();
}

std::optional<SolvedRecompute> RecomputeSolver::Smallest(int64_t step_picoseconds,
                                                         int64_t arena_bytes) {
  Reset(/*memory_first=*/true, arena_bytes, step_picoseconds);
  const auto smallest = Walk();
  if (!smallest || deadline_reached_) return smallest;
  // What the rungs do not change often sets the arena; which of so many mixes is the quickest is found soonest by time.
  const auto quickest = Quickest(smallest->composed.arena_bytes, step_picoseconds);
  return quickest ? quickest : smallest;
}

int64_t RecomputeSolver::LeastArena(size_t depth, const Node& node) const {
  const size_t at = std::min(depth, rungs_.size() - 1);
  const int64_t loss = family_.LossBaseBytes() + node.stack_bytes +
                       (node.left > 0 ? node.left * least_stack_bytes_[at] : 0);
  const int64_t sure = std::max({loss, node.given.arena_bytes, family_.FloorBytes()});
  if (node.left == 0) return sure;
  // While stacked layers grow fewer, gradients grow more: the most of the layers left is at the last of them or at the first.
  const int64_t others = node.left - 1;
  const int64_t last = others * least_stack_bytes_[at] + least_backward_bytes_[at];
  const int64_t first = others * family_.layer_gradient_bytes() + least_backward_bytes_[at];
  return std::max(sure, node.stack_bytes + std::max(last, first));
}

int64_t RecomputeSolver::LeastStep(size_t depth, const Node& node) const {
  double left_time = 0;
  if (node.left > 0) {
    const int64_t limit =
        memory_first_ && best_ ? std::min(arena_limit_, best_key_.first) : arena_limit_;
    const double bytes = static_cast<double>(limit - family_.LossBaseBytes() - node.stack_bytes) /
                         static_cast<double>(node.left);
    left_time = static_cast<double>(node.left) * TimeAt(hulls_[depth].corners, bytes);
    if (!(left_time < 9e18)) return std::numeric_limits<int64_t>::max();
    left_time -= 1 + 1e-12 * left_time;  // rounding must not make a bound too high
  }
  const int64_t span =
      family_.FixedPicoseconds() + node.compute_picoseconds + static_cast<int64_t>(left_time);
  return std::max(family_.StepPicoseconds(span), keep_all_picoseconds_);
}

bool RecomputeSolver::MayHelp(size_t depth, const Node& node) const {
  const int64_t arena = LeastArena(depth, node);
  if (arena > arena_limit_) return false;
  const int64_t step = LeastStep(depth, node);
  if (step > step_limit_) return false;
  if (!best_) return true;
  if (family_.hides_compute() && !memory_first_)
    return static_cast<double>(step) <
           static_cast<double>(best_key_.first) * (1 - kHiddenComputeSlack);
  return KeyOf(arena, step) < best_key_;
}

RecomputeSolver::Node RecomputeSolver::Given(const Node& node, Rung rung, int64_t count) const {
  Node next = node;
  next.counts[static_cast<size_t>(rung)] = count;
  next.left -= count;
  next.compute_picoseconds += count * family_.ComputePicoseconds(rung);
  next.stack_bytes += count * family_.StackBytes(rung);
  family_.Give(rung, count, next.given);
  return next;
}

void RecomputeSolver::Branch(size_t depth, const Node& node) {
  if (depth + 1 == rungs_.size()) {
    if (MostLayers(rungs_[depth], node.left) < node.left) return;
    const Node full = Given(node, rungs_[depth], node.left);
    if (MayHelp(depth, full)) Take(full.counts, family_.Compose(full.counts, full.given));
    return;
  }
  const int64_t most = MostLayers(rungs_[depth], node.left);
  for (int64_t count = 0; count <= most; ++count) {
    if (++node_count_ % kNodesPerLook == 0 && absl::Now() >= limits_.deadline)
      deadline_reached_ = true;
    if (IsOver()) return;
    const Node next = Given(node, rungs_[depth], count);
    if (MayHelp(depth + 1, next)) Branch(depth + 1, next);
  }
}

}  // namespace tunesmith::planner
