#include "tests/trainer/rank_team.h"

#include <chrono>
#include <thread>

#include "planner/program/buckets.h"
#include "trainer/comm/thread_communicator.h"

namespace tunesmith::trainer {
namespace {

using Tensors = std::map<std::string, std::vector<double>>;

void AddTo(Tensors& sum, const Tensors& more) {
  for (const auto& [name, values] : more) {
    std::vector<double>& total = sum[name];
    total.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) total[i] += values[i];
  }
}

}  // namespace

RankTeam::RankTeam(const planner::ProgramInputs& inputs, bool guard_buffers, const Wrap& wrap)
    : communicators_(
          MakeThreadCommunicators(planner::RankCount(inputs.mix), std::chrono::seconds(60))) {
  if (wrap != nullptr)
    for (auto& communicator : communicators_) communicator = wrap(std::move(communicator));
  ranks_.resize(communicators_.size());
  for (size_t r = 0; r < ranks_.size(); ++r)
    ranks_[r] = std::make_unique<ProgramRunner>(inputs, guard_buffers, /*thread_count=*/1,
                                                /*label_limit=*/0, communicators_[r].get());
}

RankTeam::~RankTeam() = default;

void RankTeam::ForEachRank(const std::function<void(size_t rank)>& function) {
  std::vector<std::thread> threads;
  for (size_t r = 0; r < ranks_.size(); ++r) threads.emplace_back([&, r] { function(r); });
  for (std::thread& thread : threads) thread.join();
}

double RankTeam::SumOf(const std::function<double(ProgramRunner&)>& value) {
  std::vector<double> values(ranks_.size());
  ForEachRank([&](size_t r) { values[r] = value(*ranks_[r]); });
  double sum = 0;
  for (double v : values) sum += v;
  return sum;
}

double RankTeam::Step(bool optimize) {
  return SumOf([optimize](ProgramRunner& rank) { return rank.Step(optimize); });
}

double RankTeam::Evaluate() {
  return SumOf([](ProgramRunner& rank) { return rank.Evaluate(); });
}

Tensors RankTeam::Gradients() {
  Tensors sum;
  // Without shards every rank holds the whole sum.
  if (!planner::SharesStates(ranks_[0]->executor().program().inputs)) return ranks_[0]->Gradients();
  for (auto& rank : ranks_) AddTo(sum, rank->Gradients());
  return sum;
}

Tensors RankTeam::Weights() {
  Tensors sum;
  for (auto& rank : ranks_) AddTo(sum, rank->Weights());
  return sum;
}

}  // namespace tunesmith::trainer
