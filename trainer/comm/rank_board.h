#pragma once

#include <cstdint>
#include <string>

#include "trainer/comm/rank_table.h"

namespace tunesmith::trainer {

// Where ranks that are about to join leave their names, in a folder that all of them see: MPI's start blocks while a rank is absent and does not say which.
// A file "rank-N.joining" holds what tells one launch from another; files of other launches do not count.
class RankBoard {
 public:
  // Puts this rank's name up, if it can: a board that cannot be written only names nobody. An empty folder: there is no board.
  RankBoard(std::string folder, const Environment& environment, const RankPlace& place);

  // All have joined. A rank that gives up leaves its name up: ranks that give up a moment later are not to call it absent.
  void TakeDown() const;

  // "rank 1, rank 3": those whose names are not up. "all N ranks" where there is no board.
  std::string Absent() const;

 private:
  std::string PathOf(int64_t rank) const;

  const std::string folder_;
  const std::string launch_;
  const RankPlace place_;
};

}  // namespace tunesmith::trainer
