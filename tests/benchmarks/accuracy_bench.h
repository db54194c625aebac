#pragma once

#include <string>
#include <vector>

namespace tunesmith {

// The command `tunesmith-bench-accuracy` (accuracy_bench.cc), without its name: the exit status.
int AccuracyBenchMain(const std::vector<std::string>& arguments);

}  // namespace tunesmith
