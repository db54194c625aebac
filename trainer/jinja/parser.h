#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "trainer/jinja/syntax.h"

namespace tunesmith::trainer::jinja {

// INVALID_ARGUMENT says what is wrong and in which line, UNIMPLEMENTED names a statement that is not known here. REQUIRES: valid UTF-8.
absl::StatusOr<Statements> Parse(std::string_view source);

}  // namespace tunesmith::trainer::jinja
