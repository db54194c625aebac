#pragma once

#include <string_view>

namespace tunesmith::planner {

// What a family's config.json calls the field that Llama's calls `llama_name` (which lives for ever).
const char* ConfigName(std::string_view family, const char* llama_name);

}  // namespace tunesmith::planner
