#pragma once

#include <string>

#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::server {

// The exit of an attempt that left none.
v1::JobExit ExitFor(v1::EndCause cause, const std::string& reason);

}  // namespace tunesmith::server
