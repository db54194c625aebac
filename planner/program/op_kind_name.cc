#include "planner/program/op_kind_name.h"

namespace tunesmith::planner {

std::optional<OpKind> OpKindFromName(std::string_view name) {
  for (int i = 0; i < kOpKindCount; ++i) {
    if (name == OpKindName(static_cast<OpKind>(i))) return static_cast<OpKind>(i);
  }
  return std::nullopt;
}

}  // namespace tunesmith::planner
