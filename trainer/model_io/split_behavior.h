#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "trainer/model_io/tokenizer_spec.h"

namespace tunesmith::trainer {

// As tokenizer.json spells them.
inline constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kSplitBehaviors = {{
    {"Isolated", SplitBehavior::kIsolated},
    {"Removed", SplitBehavior::kRemoved},
    {"Contiguous", SplitBehavior::kContiguous},
    {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
    {"MergedWithNext", SplitBehavior::kMergedWithNext},
}};

inline std::optional<SplitBehavior> SplitBehaviorNamed(std::string_view name) {
  for (const auto& [known, behavior] : kSplitBehaviors) {
    if (known == name) return behavior;
  }
  return std::nullopt;
}

inline std::string_view SplitBehaviorName(SplitBehavior behavior) {
  return kSplitBehaviors[static_cast<size_t>(behavior)].first;
}

}  // namespace tunesmith::trainer
