#pragma once

#include <vector>

#include "planner/model/mix.h"

namespace tunesmith::planner {

// What ranks share of their parameters, and leave to their hosts.
struct Sharing {
  int64_t zero_stage = 0;
  Offload offload = Offload::kNone;
  int64_t offload_percent = 100;
  int64_t gather_depth = 1;
};

inline Mix With(Mix mix, const Sharing& sharing) {
  mix.zero_stage = sharing.zero_stage;
  mix.offload = sharing.offload;
  mix.offload_percent = sharing.offload_percent;
  mix.gather_depth = sharing.gather_depth;
  return mix;
}

// All that so many ranks may; the first of one rank is to do neither.
inline std::vector<Sharing> SharingsOf(int64_t ranks) {
  Mix mix{.data_parallel = ranks};
  mix.recompute[0] = 1;
  std::vector<Sharing> all;
  const auto add_if_valid = [&](const Sharing& sharing) {
    if (ValidateMix(With(mix, sharing), 1).ok()) all.push_back(sharing);
  };
  for (int64_t stage : {0, 1, 2, 3}) {
    for (Offload offload : {Offload::kNone, Offload::kOptimizer, Offload::kAll}) {
      for (int64_t gather_depth : {1, 0}) {
        for (int64_t percent : {100, 30}) add_if_valid({stage, offload, percent, gather_depth});
      }
    }
  }
  return all;
}

// One of them, ever another, for grids that vary other things too.
inline Sharing SharingOfTurn(size_t turn, const Mix& mix) {
  const std::vector<Sharing> all = SharingsOf(RankCount(mix));
  return all[turn * 7 % all.size()];  // coprime to their numbers
}

}  // namespace tunesmith::planner
