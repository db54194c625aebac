#include "planner/program/name.h"

namespace tunesmith::planner {

std::string Name::Text() const {
  std::string text;
  ForEachPart([&](std::string_view part) { text += part; });
  return text;
}

std::string Name::Text(int64_t instance) const {
  std::string text = Text();
  if (const size_t at = text.find("{}"); at != std::string::npos)
    text.replace(at, 2, std::to_string(instance));
  return text;
}

}  // namespace tunesmith::planner
