// The pruned search against brute force over whole programs, on every small space.

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "planner/answer/candidates.h"
#include "planner/answer/predict.h"
#include "planner/answer/search.h"
#include "planner/program/build_program.h"
#include "planner/program/memory_plan.h"
#include "tests/planner/family_models.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

struct Point {
  Method method;
  int64_t arena_bytes;
  int64_t step_picoseconds;
};

std::vector<Point> AllPoints(const Question& question) {
  std::vector<Point> points;
  const PriceTable prices(question.devices.hardware, question.calibration, PrecisionOf(question),
                          {}, LinksOf(question.devices));
  for (Mix mix : FamiliesOf(question)) {
    const RecomputeLimits limits = LimitsOf(question, mix);
    const bool host = (limits.rungs >> static_cast<int>(Rung::kHost) & 1u) != 0;
    for (const auto& recompute :
         AllRecomputes(question.model.layer_count, host ? Rung::kHost : Rung::kBlock)) {
      if (recompute[static_cast<size_t>(Rung::kHost)] > limits.host_layer_count) continue;
      mix.recompute = recompute;
      const Program program = *BuildProgram(InputsFor(question, mix));
      points.push_back({mix.method, PlanMemory(program).device_bytes(),
                        PriceStep(program, prices).step_picoseconds});
    }
  }
  return points;
}

using Key = std::pair<int64_t, int64_t>;
Key TimeKey(const Point& p) { return {p.step_picoseconds, p.arena_bytes}; }
Key MemoryKey(const Point& p) { return {p.arena_bytes, p.step_picoseconds}; }

// The least key among the points within both limits.
template <typename KeyOf>
std::optional<Key> Least(const std::vector<Point>& points, int64_t arena_bytes, int64_t picoseconds,
                         KeyOf key) {
  std::optional<Key> least;
  for (const Point& p : points) {
    if (p.arena_bytes > arena_bytes || p.step_picoseconds > picoseconds) continue;
    if (!least || key(p) < *least) least = key(p);
  }
  return least;
}

constexpr int64_t kAny = std::numeric_limits<int64_t>::max();

std::optional<Key> Expected(const std::vector<Point>& points, Objective objective,
                            int64_t arena_bytes) {
  if (objective == Objective::kTime) return Least(points, arena_bytes, kAny, TimeKey);
  if (objective == Objective::kMemory) return Least(points, arena_bytes, kAny, MemoryKey);
  const auto quickest = Least(points, arena_bytes, kAny, TimeKey);
  if (!quickest) return std::nullopt;
  const auto limit =
      static_cast<int64_t>(static_cast<double>(quickest->first) * (1 + kBalancedSlack));
  return Least(points, arena_bytes, limit, MemoryKey);
}

std::set<Key> FrontOf(const std::vector<Point>& points, int64_t arena_bytes) {
  std::set<Key> front;
  std::optional<Key> point = Least(points, arena_bytes, kAny, TimeKey);
  while (point) {
    front.insert(*point);
    point = Least(points, point->second - 1, kAny, TimeKey);
  }
  return front;
}

// Arena sizes from too little to more than enough.
std::vector<int64_t> Budgets(const std::vector<Point>& points) {
  std::vector<int64_t> arenas;
  for (const Point& p : points) arenas.push_back(p.arena_bytes);
  std::sort(arenas.begin(), arenas.end());
  std::vector<int64_t> budgets = {arenas.front() - 1, arenas.front(), arenas.back()};
  for (size_t part : {1u, 5u, 20u, 50u, 80u})
    budgets.push_back(arenas[arenas.size() * part / 100] + 100);
  return budgets;
}

bool HidesCompute(const Question& question) {
  const bool moves = question.devices.device_count > 1 ||
                     question.pinned.offload.value_or(Offload::kNone) != Offload::kNone;
  return moves && question.devices.hardware.compute_capability > 0;
}

// Nobody is quicker by more than the slack, and what is least in memory is so exactly: within a limit that is no less than it should be.
void ExpectNearly(Objective objective, const Key& found, const Key& expected, int64_t quickest) {
  constexpr double kNear = 1 + 2 * kHiddenComputeSlack;
  if (objective == Objective::kMemory) {
    EXPECT_EQ(found, expected);
  } else if (objective == Objective::kBalanced) {
    EXPECT_LE(found.first, expected.first);
    EXPECT_LE(static_cast<double>(found.second),
              static_cast<double>(quickest) * (1 + kBalancedSlack) * kNear);
  } else {
    EXPECT_GE(found.first, expected.first);
    EXPECT_LE(static_cast<double>(found.first), static_cast<double>(expected.first) * kNear);
  }
}

void ExpectSearchFindsBruteForce(Question question) {
  const std::vector<Point> points = AllPoints(question);
  for (int64_t arena_bytes : Budgets(points)) {
    question.memory_budget_bytes = 0;
    question.memory_budget_bytes = arena_bytes + BudgetOf(question).outside_arena_bytes;
    for (Objective objective : {Objective::kTime, Objective::kMemory, Objective::kBalanced}) {
      question.objective = objective;
      question.pareto_count = objective == Objective::kTime ? 1 << 20 : 0;
      const auto result = Recommend(question);
      ASSERT_TRUE(result.ok()) << result.status();
      const auto expected = Expected(points, objective, arena_bytes);
      ASSERT_EQ(result->ranked.empty(), !expected) << arena_bytes;
      EXPECT_EQ(result->candidate_count, static_cast<int64_t>(points.size()));
      if (!expected) {
        EXPECT_EQ(result->nearest->memory.arena_bytes, Least(points, kAny, kAny, MemoryKey)->first);
        continue;
      }
      const Prediction& best = result->ranked[0];
      const Key found = objective == Objective::kTime
                            ? Key{best.time.step_picoseconds, best.memory.arena_bytes}
                            : Key{best.memory.arena_bytes, best.time.step_picoseconds};
      if (HidesCompute(question)) {
        ExpectNearly(objective, found, *expected, Least(points, arena_bytes, kAny, TimeKey)->first);
        continue;
      }
      EXPECT_EQ(found, *expected) << FormatMix(best.mix) << " within " << arena_bytes;
      if (question.pareto_count == 0) continue;
      std::set<Key> front;
      for (const Prediction& p : result->pareto)
        front.insert({p.time.step_picoseconds, p.memory.arena_bytes});
      EXPECT_EQ(front, FrontOf(points, arena_bytes)) << " within " << arena_bytes;
    }
  }
}

Question SmallQuestion(int64_t layers, int64_t rows, const char* device) {
  Question question{.model = ToyModel(layers, layers % 2 == 0, layers % 2 == 1),
                    .workload = {.context = 32, .rows_per_step = rows},
                    .devices = {.hardware = *FindHardware(device)},
                    .lora = {.rank = 3}};
  return question;
}

TEST(SearchExhaustiveTest, OnACpu) {
  for (int64_t layers : {1, 2, 3, 4})
    for (int64_t rows : {1, 4, 6}) ExpectSearchFindsBruteForce(SmallQuestion(layers, rows, "cpu"));
}

// Every stage, on devices with and without streams of their own, in a node and across nodes.
TEST(SearchExhaustiveTest, OnSeveralDevices) {
  for (int64_t layers : {1, 2, 3}) {
    for (const char* device : {"cpu", "A100-80GB"}) {
      for (int64_t devices : {2, 4}) {
        SCOPED_TRACE(std::string(device) + " layers " + std::to_string(layers));
        Question question = SmallQuestion(layers, 4, device);
        question.devices.device_count = devices;
        question.devices.node_count = devices / 2;
        ExpectSearchFindsBruteForce(question);
        // Layers whose compute may hide what goes between ranks, or not.
        question.model.hidden_size *= 128;
        question.model.intermediate_size *= 128;
        question.pinned.micro_batch = 1;
        question.method = MethodChoice::kFull;
        ExpectSearchFindsBruteForce(question);
        if (HasFailure()) return;
      }
    }
  }
}

TEST(SearchExhaustiveTest, WithOffload) {
  for (Offload offload : {Offload::kOptimizer, Offload::kAll}) {
    for (int64_t layers : {1, 3}) {
      for (int64_t devices : {1, 2}) {
        SCOPED_TRACE(std::to_string(layers) + " layers, devices " + std::to_string(devices));
        Question question = SmallQuestion(layers, 2, "A100-80GB");
        question.devices.device_count = devices;
        question.pinned.offload = offload;
        ExpectSearchFindsBruteForce(question);
        question.model.hidden_size *= 128;
        question.model.intermediate_size *= 128;
        question.method = MethodChoice::kFull;
        ExpectSearchFindsBruteForce(question);
        if (HasFailure()) return;
      }
    }
  }
}

TEST(SearchExhaustiveTest, ForEveryFamilyOfModels) {
  for (const ModelSpec& model : FamilyModels(3)) {
    for (const char* device : {"cpu", "A100-80GB"}) {
      SCOPED_TRACE(model.name);
      Question question = SmallQuestion(3, 2, device);
      question.model = model;
      ExpectSearchFindsBruteForce(question);
    }
  }
}

TEST(SearchExhaustiveTest, OnAGpuWithAHost) {
  for (int64_t layers : {1, 3, 6})
    for (int64_t rows : {1, 4})
      ExpectSearchFindsBruteForce(SmallQuestion(layers, rows, "A100-80GB"));
}

// Shapes where layers, not launches and weights, take the time and memory.
TEST(SearchExhaustiveTest, WhereLayersDominate) {
  Question question = SmallQuestion(5, 2, "H100-PCIe");
  question.model.hidden_size = 512;
  question.model.intermediate_size = 2048;
  question.model.context_limit = 2048;
  question.workload.context = 2048;
  question.workload.evaluates = question.workload.generates = false;
  ExpectSearchFindsBruteForce(question);
  question.pinned_memory_budget_bytes = 3 * 2048 * 512 * 2 + 100;
  ExpectSearchFindsBruteForce(question);
}

}  // namespace
}  // namespace tunesmith::planner
