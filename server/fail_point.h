#pragma once

// Places at which tests end a process the hard way, to see what the next one makes of it.
namespace tunesmith::server {

// Kills this process by SIGKILL when the environment's TUNESMITH_FAIL_POINT is "NAME" or, for the
// N-th time that the place is passed, "NAME:N". Without the variable it costs one comparison.
void FailPoint(const char* name);

}  // namespace tunesmith::server
