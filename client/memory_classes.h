#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tunesmith/v1/plan.pb.h"

namespace tunesmith::client {

// One class of a device's memory, as tables, bars and reports name it.
struct MemoryClass {
  std::string name;   // "activations"
  char letter = ' ';  // in bars
  int64_t bytes = 0;
};

// All classes in the order in which they are shown; their sum is the total.
std::vector<MemoryClass> MemoryClasses(const v1::MemoryPrediction& memory);

}  // namespace tunesmith::client
