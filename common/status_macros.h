#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Debian's Abseil (20220623) has no status macros; these are the only two in the project.

#define TUNESMITH_CONCAT_INNER(a, b) a##b
#define TUNESMITH_CONCAT(a, b) TUNESMITH_CONCAT_INNER(a, b)

// Returns from the enclosing function when `expr` (an absl::Status) is not OK.
#define TUNESMITH_RETURN_IF_ERROR(expr)                                       \
  do {                                                                        \
    if (absl::Status status_macro_result = (expr); !status_macro_result.ok()) \
      return status_macro_result;                                             \
  } while (false)

// Evaluates `expr` (an absl::StatusOr<T>); assigns the value to `lhs` or returns the error.
#define TUNESMITH_ASSIGN_OR_RETURN(lhs, expr) \
  TUNESMITH_ASSIGN_OR_RETURN_IMPL(TUNESMITH_CONCAT(status_or_, __LINE__), lhs, expr)

#define TUNESMITH_ASSIGN_OR_RETURN_IMPL(statusor, lhs, expr) \
  auto statusor = (expr);                                    \
  if (!statusor.ok()) return std::move(statusor).status();   \
  lhs = *std::move(statusor)
