#pragma once

#include <optional>
#include <string_view>

#include "planner/program/op.h"

namespace tunesmith::planner {

// The kind that OpKindName calls so; none for a name that this version does not know.
std::optional<OpKind> OpKindFromName(std::string_view name);

}  // namespace tunesmith::planner
