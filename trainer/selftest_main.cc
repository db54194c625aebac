#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "trainer/selftest.h"

// The selftest command as a binary of its own, for hosts that have the bundle alone.
int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const absl::Status status = tunesmith::trainer::SelfTestCommand(arguments);
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "tunesmith-selftest: %s\n", std::string(status.message()).c_str());
  return EXIT_FAILURE;
}
