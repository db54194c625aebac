#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/trainer/program_runner.h"
#include "trainer/comm/communicator.h"

namespace tunesmith::trainer {

// The ranks of one program, threads of this process, on the data and weights of ProgramRunner: together they compute what it computes alone.
class RankTeam {
 public:
  // `wrap` may put something around a rank's communicator.
  using Wrap = std::function<std::unique_ptr<Communicator>(std::unique_ptr<Communicator>)>;
  explicit RankTeam(const planner::ProgramInputs& inputs, bool guard_buffers = false,
                    const Wrap& wrap = nullptr);
  ~RankTeam();

  // Sums over ranks; the loss is that of all.
  double Step(bool optimize);
  double Evaluate();
  std::map<std::string, std::vector<double>> Gradients();
  std::map<std::string, std::vector<double>> Weights();

  ProgramRunner& rank(size_t r) { return *ranks_[r]; }
  size_t size() const { return ranks_.size(); }

  // function(rank) on every rank at once.
  void ForEachRank(const std::function<void(size_t rank)>& function);

 private:
  double SumOf(const std::function<double(ProgramRunner&)>& value);

  std::vector<std::unique_ptr<Communicator>> communicators_;
  std::vector<std::unique_ptr<ProgramRunner>> ranks_;
};

}  // namespace tunesmith::trainer
