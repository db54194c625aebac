#include "server/fail_point.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace tunesmith::server {
namespace {

struct Chosen {
  std::string name;
  std::atomic<int> passes_left{0};
};

Chosen* FromEnvironment() {
  const char* text = std::getenv("TUNESMITH_FAIL_POINT");
  if (text == nullptr || *text == '\0') return nullptr;
  auto* chosen = new Chosen;  // lives as long as the process
  const std::string value = text;
  const size_t colon = value.find(':');
  chosen->name = value.substr(0, colon);
  chosen->passes_left = colon == std::string::npos ? 1 : std::atoi(value.c_str() + colon + 1);
  return chosen;
}

}  // namespace

void FailPoint(const char* name) {
  static Chosen* const chosen = FromEnvironment();
  if (chosen == nullptr || chosen->name != name) return;
  if (--chosen->passes_left == 0) kill(getpid(), SIGKILL);
}

}  // namespace tunesmith::server
