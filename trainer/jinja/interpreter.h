#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/jinja/builtins.h"
#include "trainer/jinja/syntax.h"
#include "trainer/jinja/value.h"

namespace tunesmith::trainer::jinja {

// A part of the text that a template made, in bytes.
struct TextSpan {
  int64_t begin = 0;
  int64_t end = 0;
};

struct Rendering {
  std::string text;
  // What {% generation %} blocks wrote, in order.
  std::vector<TextSpan> generations;
  // What each pass of a for over dicts wrote, with the dict, where the for writes straight to the text.
  struct Pass {
    Value item;
    TextSpan span;
  };
  std::vector<Pass> passes;
};

// Runs a template. INVALID_ARGUMENT, UNIMPLEMENTED or RESOURCE_EXHAUSTED with the line.
absl::StatusOr<Rendering> Run(const Statements& statements, const Dict& variables,
                              int64_t unix_seconds);

}  // namespace tunesmith::trainer::jinja
