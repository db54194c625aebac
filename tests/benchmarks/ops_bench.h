#pragma once

#include <string>
#include <vector>

namespace tunesmith::trainer {

// The command `tunesmith-bench-ops` (ops_bench.cc), without its name: the exit status.
int OpsBenchMain(const std::vector<std::string>& arguments);

}  // namespace tunesmith::trainer
