#pragma once

#include <string_view>

namespace tunesmith::published {

// The name under which runtimes::FindShape knows a model that a publication calls otherwise ("Llama 3 8B"); else the name itself.
std::string_view KnownModelName(std::string_view published);

}  // namespace tunesmith::published
