#include <string>
#include <vector>

#include "trainer/selftest.h"

// The selftest command as a binary of its own, for hosts that have the bundle alone.
int main(int argc, char** argv) {
  return tunesmith::trainer::SelfTestMain(std::vector<std::string>(argv + 1, argv + argc));
}
