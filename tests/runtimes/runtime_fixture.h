#pragma once

#include <string_view>

#include "runtimes/setup.h"

// Setups that tests start from.
namespace tunesmith::runtimes {

inline RunSetup SetupOf(std::string_view model, std::string_view device) {
  RunSetup setup;
  setup.shape = FindShape(model).value();
  setup.hardware = planner::FindHardware(device).value();
  setup.context = 4096;
  setup.checkpointing = true;
  return setup;
}

}  // namespace tunesmith::runtimes
