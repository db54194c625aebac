#pragma once

#include "absl/status/status.h"

// Exit statuses of `tunesmith`, the same for every command.
namespace tunesmith::client {

enum ExitCode : int {
  kExitOk = 0,
  kExitError = 1,
  kExitUsage = 2,
  kExitNothingFits = 3,
  kExitNotAllowed = 4,   // no token, or one whose role does not do
  kExitJobFailed = 5,    // a watched job ended FAILED or CANCELLED
  kExitUnavailable = 6,  // no server, or no answer in time
  kExitNotFound = 7,
  kExitInterrupted = 130,
};

// INVALID_ARGUMENT and OUT_OF_RANGE are usage, UNAUTHENTICATED and PERMISSION_DENIED are not allowed, UNAVAILABLE and DEADLINE_EXCEEDED are unavailable, NOT_FOUND is not found, the rest is error.
ExitCode ExitCodeOf(const absl::Status& status);

}  // namespace tunesmith::client
