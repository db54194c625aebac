// What measures a GPU, in one binary that is called by the names of its tools: the bundle links them to it.
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "tests/benchmarks/accuracy_bench.h"
#include "tests/benchmarks/ops_bench.h"
#include "trainer/selftest.h"

namespace {

using Tool = int (*)(const std::vector<std::string>& arguments);

std::string NameOf(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, Tool> tools = {
      {"tunesmith-selftest", tunesmith::trainer::SelfTestMain},
      {"tunesmith-bench-ops", tunesmith::trainer::OpsBenchMain},
      {"tunesmith-bench-accuracy", tunesmith::AccuracyBenchMain}};
  const std::string name = argc > 0 ? NameOf(argv[0]) : "";
  if (const auto tool = tools.find(name); tool != tools.end())
    return tool->second(std::vector<std::string>(argv + 1, argv + argc));
  std::fprintf(stderr, "'%s' is no tool; call this binary by a link of the name of one:\n",
               name.c_str());
  for (const auto& [known, run] : tools) std::fprintf(stderr, "  %s\n", known.c_str());
  return 2;
}
