#pragma once

#include <chrono>
#include <thread>

namespace tunesmith {

// Whether the condition comes true in time, looked at again and again. For what another process or thread brings about: how long that takes is the machine's
// affair, so the limit is generous, and a test that passes does not wait for it.
template <typename Condition>
bool Eventually(Condition condition, std::chrono::seconds limit = std::chrono::seconds(30)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace tunesmith
