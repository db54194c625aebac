#include "tests/benchmarks/accuracy_bench.h"

int main(int argc, char** argv) {
  return tunesmith::AccuracyBenchMain(std::vector<std::string>(argv + 1, argv + argc));
}
