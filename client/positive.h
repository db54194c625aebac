#pragma once

#include <CLI/CLI.hpp>
#include <cmath>
#include <string>

#include "common/str_cat.h"

// Validators of numbers. CLI11's own print the largest double as the upper end of their range.
namespace tunesmith::client {

// A number above 0.
inline CLI::Validator Positive() {
  return CLI::Validator(
      [](const std::string& text) {
        double value = 0;
        const bool good =
            CLI::detail::lexical_cast(text, value) && std::isfinite(value) && value > 0;
        return good ? std::string() : StrCat("\"", text, "\" is not a number above 0");
      },
      "POSITIVE");
}

// A number that is 0 or above.
inline CLI::Validator NotNegative() {
  return CLI::Validator(
      [](const std::string& text) {
        double value = 0;
        const bool good =
            CLI::detail::lexical_cast(text, value) && std::isfinite(value) && value >= 0;
        return good ? std::string() : StrCat("\"", text, "\" is not a number of 0 or above");
      },
      "NONNEGATIVE");
}

}  // namespace tunesmith::client
