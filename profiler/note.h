#pragma once

#include <functional>
#include <string>

namespace tunesmith::profiler {

// Told what could not be measured, or was measured otherwise, and why.
using Note = std::function<void(const std::string&)>;

}  // namespace tunesmith::profiler
