#include "tests/benchmarks/ops_bench.h"

int main(int argc, char** argv) {
  return tunesmith::trainer::OpsBenchMain(std::vector<std::string>(argv + 1, argv + argc));
}
